"""What flows, by the second."""

import pytest
from mailproxy.v1.delivery_pb2 import DeliveryReport
from mailproxy_server.web.flow import KEPT_SECONDS, SAMPLES, Flow, percentile

SENT, FAILED, DEFERRED, CANCELLED = 2, 3, 1, 5


def report(at: float, event: int, offset: int = 1) -> DeliveryReport:
    made = DeliveryReport(event=event, offset=offset, recipient="a@b.test", reason=10)  # type: ignore[arg-type]
    made.event_time.FromMilliseconds(int(at * 1000))
    made.reply.code, made.reply.text = 550, "no"
    return made


def test_events_are_counted_in_their_second_with_their_latencies() -> None:
    flow = Flow()
    for at, event in ((100.1, SENT), (100.9, SENT), (100.5, FAILED), (101, DEFERRED)):
        flow.add(report(at, event), 100_000)
    assert flow.rows() == [(100, 2, 1, 0, 0.9, 0.9, 0.9), (101, 0, 0, 1, None, None, None)]


def test_failures_come_once_with_the_relays_words() -> None:
    flow = Flow()
    flow.add(report(1, FAILED, 7), 0)
    flow.add(report(1, SENT, 8), 0)
    (failure,) = flow.failures(0)
    assert (failure["event"], failure["code"], failure["text"]) == ("FAILED", 550, "no")
    assert failure["reason"] == "RECIPIENT_REFUSED"
    assert flow.failures(7) == []


def test_old_seconds_are_forgotten() -> None:
    flow = Flow()
    for second in range(2 * KEPT_SECONDS):
        flow.add(report(second, SENT), 0)
    rows = flow.rows()
    assert (rows[0][0], rows[-1][0]) == (KEPT_SECONDS - 1, 2 * KEPT_SECONDS - 1)


def test_a_busy_second_keeps_some_latencies_and_counts_all() -> None:
    flow = Flow()
    for number in range(5 * SAMPLES):
        flow.add(report(10, SENT), 10_000 - number)
    assert flow.rows()[0][1] == 5 * SAMPLES
    assert len(flow._seconds[10].latencies) == SAMPLES


def test_a_row_is_the_same_until_its_second_changes() -> None:
    flow = Flow()
    flow.add(report(10, SENT), 0)
    before = flow.rows()[0]
    assert flow.rows()[0] is before
    flow.add(report(10, CANCELLED), 0)
    assert flow.rows()[0] is not before


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [([], 0.5, None), ([1.0], 0.99, 1.0), ([1.0, 2.0, 3.0], 0.5, 2.0)],
)
def test_percentiles(values: list[float], share: float, wanted: float | None) -> None:
    assert percentile(values, share) == wanted
