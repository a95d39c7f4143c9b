"""A call's span ends with the status that the call truly had."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from mailproxy.v1 import message_pb2
from mailproxy_server.mail.errors import CallerError, MailProxyError, Unavailable
from mailproxy_server.rpc.spans import CallSpans
from mailproxy_server.rpc.status import CODES
from mailproxy_server.telemetry.sampling import DrawnIds
from mailproxy_server.telemetry.tracing import unrecorded
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.support.edge import AUTH, calling, follow, raw_submit, refused, serving
from tests.support.eventually import eventually

FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "canary-secret"


class Kept(InMemorySpanExporter):
    async def one(self) -> ReadableSpan:
        (span,) = await eventually(self.get_finished_spans, "the span ended", seconds=10)
        return span


@pytest.fixture
def kept() -> Kept:
    return Kept()


def spans(kept: Kept) -> CallSpans:
    provider = TracerProvider(id_generator=DrawnIds())
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return CallSpans(provider.get_tracer("tests"))


def check(span: ReadableSpan, code: str) -> None:
    attributes = span.attributes or {}
    assert attributes["rpc.response.status_code"] == code
    assert attributes["rpc.system.name"] == "grpc"
    assert span.status.status_code is (StatusCode.ERROR if code in FAULTS else StatusCode.UNSET)
    assert attributes.get("error.type") == (code if code in FAULTS else None)
    assert SECRET not in span.to_json()


@pytest.mark.parametrize("reason", sorted(CODES))
async def test_each_refusal_has_its_status(kept: Kept, reason: str) -> None:
    async def refuse(request: Any, call: Any) -> Any:
        error: MailProxyError = CallerError(reason, SECRET)
        if reason in ("DATABASE_UNAVAILABLE", "DRAINING", "QUEUE_FULL"):
            error = Unavailable(reason, SECRET, 1.0)
        raise error

    async with serving(refuse, tracer=spans(kept)) as served, calling(served) as channel:
        await refused(raw_submit(channel, b"", metadata=AUTH))
        check(await kept.one(), CODES[reason].name)


async def test_a_bug_is_an_error(kept: Kept) -> None:
    async def fail(request: Any, call: Any) -> Any:
        raise ZeroDivisionError(SECRET)

    async with serving(fail, tracer=spans(kept)) as served, calling(served) as channel:
        await refused(raw_submit(channel, b"", metadata=AUTH))
        check(await kept.one(), "INTERNAL")


async def test_success_is_none_and_its_parent_is_the_callers_span(kept: Kept) -> None:
    traceparent = ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")
    async with serving(tracer=spans(kept)) as served, calling(served) as channel:
        await raw_submit(channel, b"", metadata=(*AUTH, traceparent))
        span = await kept.one()
    check(span, "OK")
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", span.parent.is_remote) == (TRACE, True)


@pytest.mark.parametrize("text", ["", "00-xyz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "-" * 9])
async def test_a_traceparent_that_is_none_begins_a_trace(kept: Kept, text: str) -> None:
    async with serving(tracer=spans(kept)) as served, calling(served) as channel:
        await raw_submit(channel, b"", metadata=(*AUTH, ("traceparent", text)))
        assert (await kept.one()).parent is None


async def test_a_call_that_is_not_sampled_passes_its_context_on_and_the_next_one_has_its_own(
    kept: Kept,
) -> None:
    passed_on = []

    async def note(request: Any, call: Any) -> Any:
        passed_on.append(unrecorded.get())
        return message_pb2.SubmitMessageResponse()

    async with serving(note, tracer=spans(kept)) as served, calling(served) as channel:
        for flags in ("00", "01", "00"):
            traceparent = ("traceparent", f"00-{TRACE}-b7ad6b7169203331-{flags}")
            await raw_submit(channel, b"", metadata=(*AUTH, traceparent))
        await kept.one()
    given = f"00-{TRACE}-b7ad6b7169203331-00"
    assert passed_on == [given, "", given]


async def test_a_deadline_that_passes_is_an_error(kept: Kept) -> None:
    async def sleep(request: Any, call: Any) -> Any:
        await asyncio.Event().wait()

    async with serving(sleep, tracer=spans(kept)) as served, calling(served) as channel:
        await refused(raw_submit(channel, b"", metadata=AUTH, timeout=1))
        check(await kept.one(), "DEADLINE_EXCEEDED")


async def test_a_cancelled_call_is_cancelled(kept: Kept) -> None:
    begun = asyncio.Event()

    async def sleep(request: Any, call: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async with serving(sleep, tracer=spans(kept)) as served, calling(served) as channel:
        call = asyncio.ensure_future(raw_submit(channel, b"", metadata=AUTH))
        await begun.wait()
        call.cancel()
        check(await kept.one(), "CANCELLED")


async def test_a_cancelled_stream_and_one_that_a_drain_ends(kept: Kept) -> None:
    async with serving(tracer=spans(kept)) as served:
        async with calling(served) as channel:
            stream = follow(channel)
            assert await stream.read()
            stream.cancel()
            check(await kept.one(), "CANCELLED")
            kept.clear()
            other = follow(channel)
            assert await other.read()
            await served.server.drain(grace=0)
        check(await kept.one(), "UNAVAILABLE")


async def test_without_a_token_it_is_the_callers_mistake(kept: Kept) -> None:
    async with serving(tracer=spans(kept)) as served, calling(served) as channel:
        await refused(raw_submit(channel, b"", metadata=()))
        check(await kept.one(), grpc.StatusCode.UNAUTHENTICATED.name)
