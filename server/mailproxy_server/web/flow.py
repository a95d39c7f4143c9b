"""What flows, by the second: made of delivery reports, for charts. Pure.

Of each second it keeps counts, and at most SAMPLES latencies, spread over all that were seen.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mailproxy.v1.delivery_pb2 import DeliveryReport, FailureReason, ReportEvent

from mailproxy_server.mail.delivery import Event

KEPT_SECONDS = 300
SAMPLES = 200
FAILURES = 100
_PERCENTILES = (0.5, 0.95, 0.99)

Row = tuple[int, int, int, int, float | None, float | None, float | None]
"""A second: when, sent, failed, deferred, and the percentiles 50, 95, 99 of its latencies."""


@dataclass(slots=True)
class _Second:
    sent: int = 0
    failed: int = 0
    deferred: int = 0
    latencies: list[float] = field(default_factory=list)
    row: Row | None = None


class Flow:
    """The last five minutes of one tenant."""

    def __init__(self) -> None:
        self._seconds: dict[int, _Second] = {}
        self._failures: deque[tuple[int, dict[str, Any]]] = deque(maxlen=FAILURES)

    def add(self, report: DeliveryReport, accepted_ms: int) -> None:
        """Count a report of a message that was accepted then, in milliseconds since 1970."""
        at = report.event_time.ToMilliseconds()
        second = self._seconds.setdefault(at // 1000, _Second())
        second.row = None
        event = Event(report.event)
        if event is Event.SENT:
            second.sent += 1
            latency = max(at - accepted_ms, 0) / 1000
            if len(second.latencies) < SAMPLES:
                second.latencies.append(latency)
            else:
                second.latencies[second.sent % SAMPLES] = latency
        elif event in (Event.FAILED, Event.EXPIRED):
            second.failed += 1
        elif event is Event.DEFERRED:
            second.deferred += 1
        if event in (Event.FAILED, Event.EXPIRED, Event.DEFERRED):
            self._failures.append((report.offset, _failure(report)))
        self._forget(at // 1000)

    def rows(self) -> list[Row]:
        """Give the seconds in which something happened, in their order."""
        return [self._row(at, self._seconds[at]) for at in sorted(self._seconds)]

    def failures(self, after: int) -> list[dict[str, Any]]:
        """Give what failed after an offset of the log, the oldest first."""
        return [failure for offset, failure in self._failures if offset > after]

    @staticmethod
    def _row(at: int, second: _Second) -> Row:
        if second.row is None:
            ordered = sorted(second.latencies)
            p50, p95, p99 = (percentile(ordered, each) for each in _PERCENTILES)
            second.row = (at, second.sent, second.failed, second.deferred, p50, p95, p99)
        return second.row

    def _forget(self, now: int) -> None:
        while (oldest := next(iter(self._seconds))) < now - KEPT_SECONDS:
            del self._seconds[oldest]


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Give the value below which this share of sorted values lies; None of none."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def _failure(report: DeliveryReport) -> dict[str, Any]:
    return {
        "offset": report.offset,
        "time": report.event_time.ToMilliseconds(),
        "message_id": report.message_id,
        "recipient": report.recipient,
        "account": report.account_id,
        "event": ReportEvent.Name(report.event).removeprefix("REPORT_EVENT_"),
        "reason": FailureReason.Name(report.reason).removeprefix("FAILURE_REASON_"),
        "code": report.reply.code,
        "text": report.reply.text[:500] or report.detail[:500],
        "attempt": report.attempt,
    }
