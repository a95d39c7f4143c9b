"""What is not recorded is passed over before a span is made, as its sampler would have it."""

import pytest
from mailproxy_server.telemetry.context import parsed
from mailproxy_server.telemetry.lines import traced
from mailproxy_server.telemetry.sampling import DrawnIds, Sampling
from mailproxy_server.telemetry.tracing import unrecorded
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import SpanKind, Tracer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NAME = "mailproxy.v1.MessageService/SubmitMessage"


def tracer(sampler: Sampler, ids: DrawnIds | None = None) -> Tracer:
    return TracerProvider(sampler=sampler, id_generator=ids or DrawnIds()).get_tracer("tests")


def test_half_of_the_calls_are_recorded_and_none_is_judged_twice() -> None:
    half = TraceIdRatioBased(0.5)
    one = tracer(ParentBased(half))
    sampling, recorded = Sampling(one), 0
    for _ in range(1000):
        passed_on = sampling.passed_over("")
        if passed_on is None:
            span = one.start_span(NAME)  # by the drawn id, so judged as it was before
            assert span.is_recording()
            recorded += 1
        else:
            found = parsed(passed_on)
            assert found
            assert not found.trace_flags.sampled
            again = half.should_sample(None, found.trace_id, NAME, SpanKind.SERVER)
            assert again.decision is Decision.DROP
    assert 400 < recorded < 600  # judged twice it would be a quarter


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-02", f"00-{TRACE}-{SPAN}-00"),
        (f"01-{TRACE}-{SPAN}-00-more", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-03", None),
    ],
)
@pytest.mark.parametrize("root", [ALWAYS_ON, ALWAYS_OFF])
def test_a_caller_decides_for_its_trace(given: str, passed_on: str | None, root: Sampler) -> None:
    assert Sampling(tracer(ParentBased(root))).passed_over(given) == passed_on


@pytest.mark.parametrize("given", ["", "no traceparent", f"00-{TRACE}-{'0' * 16}-00"])
def test_what_names_no_trace_begins_one(given: str) -> None:
    assert Sampling(tracer(ParentBased(ALWAYS_ON))).passed_over(given) is None
    passed_on = Sampling(tracer(ParentBased(ALWAYS_OFF))).passed_over(given)
    assert parsed(passed_on)
    assert TRACE not in str(passed_on)


class Choosy(TraceIdRatioBased):
    def get_description(self) -> str:
        return "Choosy"


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, TraceIdRatioBased(0.0), ParentBased(Choosy(0.0))])
def test_a_sampler_that_may_ask_for_more_is_left_to_the_sdk(sampler: Sampler) -> None:
    assert Sampling(tracer(sampler)).passed_over(f"00-{TRACE}-{SPAN}-00") is None


def test_lines_name_the_trace_of_a_call_that_is_not_recorded() -> None:
    token = unrecorded.set(f"00-{TRACE}-{SPAN}-00")
    try:
        assert traced(None, "info", {"event": "x"}) == {
            "event": "x", "trace_id": TRACE, "span_id": SPAN,
        }  # fmt: skip
    finally:
        unrecorded.reset(token)
    assert traced(None, "info", {"event": "x"}) == {"event": "x"}
