"""Where a stream of reports goes on after a break, and whether it does.

Pure: a `Breaks` and a position for each stream, which are told what came and say what to
do next.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Generic, Protocol, TypeVar

import grpc

from mailproxy.calls import STREAM
from mailproxy.errors import MailProxyError
from mailproxy.v1 import delivery_pb2, message_pb2, report_pb2
from mailproxy.v1.delivery_pb2 import DeliveryReport
from mailproxy.values import number, timestamp


class Reporting(Protocol):
    """A response of a stream."""

    @property
    def reports(self) -> Iterable[DeliveryReport]:
        """Its reports."""


RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=Reporting)

_BROKEN = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED})


def resumable(error: MailProxyError) -> bool:
    """Whether the same stream may be opened again and is expected to go on."""
    if error.code is grpc.StatusCode.UNAVAILABLE:
        return True
    if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return error.retry_after is not None
    # So a connection that is cut between frames ends a stream; no server gave a reason.
    return error.code in _BROKEN and not error.reason


@dataclass(slots=True)
class Breaks:
    """Counts the breaks in a row, and gives the pause after each or the end of patience.

    `patience`: seconds to go on trying until a first response; after it there is no end.
    """

    patience: float
    _attempt: int = 0
    _answered: bool = False

    def progress(self) -> None:
        """Note that a response came."""
        self._attempt, self._answered = 0, True

    def pause(self, error: MailProxyError | None, *, elapsed: float, jitter: float) -> float | None:
        """Give the seconds until the stream is opened again, or None when it is over.

        `error` is None when the server ended the stream without one; `elapsed` seconds have
        passed since it was first opened.
        """
        if error and not resumable(error):
            return None
        if error and not self._answered and elapsed >= self.patience:
            return None
        self._attempt += 1
        pause = STREAM.pause(self._attempt, jitter)
        return max(pause, (error and error.retry_after) or 0.0)


@dataclass(slots=True)
class Position(Generic[RequestT, ResponseT]):
    """How far the caller has seen the reports of one stream."""

    request: RequestT
    cursor: str = ""
    """A report stream may start again after it; "" until the first response."""
    finished: bool = False
    """Nothing more is to be read."""
    _offset: int = 0

    ends_with_ok: ClassVar[bool] = False
    """The server ends the stream with OK when there will be no more; else that is a break."""

    def next_request(self) -> RequestT:
        """Give the request with which the stream goes on."""
        return self.request

    def fresh(self, response: ResponseT) -> list[DeliveryReport]:
        """Give the reports that were not handed out yet."""
        return [report for report in response.reports if report.offset > self._offset]

    def handed_out(self, report: DeliveryReport) -> None:
        """Note that the caller gets this report."""
        self.cursor, self._offset = report.cursor, report.offset

    def passed(self, response: ResponseT) -> None:
        """Note that the caller has seen all of a response."""


@dataclass(slots=True)
class WatchPosition(Position[message_pb2.WatchMessageRequest, message_pb2.WatchMessageResponse]):
    """The reports of one message; each watch begins at its first.

    A database that failed over may give an offset to another report, so ids tell what was seen.
    """

    _seen: set[str] = field(default_factory=set)

    ends_with_ok: ClassVar[bool] = True

    def fresh(self, response: message_pb2.WatchMessageResponse) -> list[DeliveryReport]:
        """Give the reports that were not handed out yet."""
        return [report for report in response.reports if report.report_id not in self._seen]

    def handed_out(self, report: DeliveryReport) -> None:
        """Note that the caller gets this report."""
        self.cursor = report.cursor
        self._seen.add(report.report_id)


@dataclass(slots=True)
class ReportPosition(
    Position[report_pb2.StreamDeliveryReportsRequest, report_pb2.StreamDeliveryReportsResponse]
):
    """The report log, on and on."""

    def next_request(self) -> report_pb2.StreamDeliveryReportsRequest:
        """Give the request with which the stream goes on, from the cursor if there is one."""
        if self.cursor:
            self.request.cursor = self.cursor
        return self.request

    def passed(self, response: report_pb2.StreamDeliveryReportsResponse) -> None:
        """Note that the caller has seen all of a response, and all that it passes over."""
        self.cursor = response.cursor or self.cursor


@dataclass(slots=True)
class ReportsSoFar(ReportPosition):
    """The report log up to its end.

    It asks for all reports and chooses itself: only then does a response without reports
    mean that there are no more, and a report's offset how many are missing.
    """

    selector: delivery_pb2.Selector = field(default_factory=delivery_pb2.Selector)
    events: frozenset[int] = frozenset()

    def fresh(self, response: report_pb2.StreamDeliveryReportsResponse) -> list[DeliveryReport]:
        """Give the reports that are wanted and were not handed out yet."""
        new = [report for report in response.reports if report.offset > self._offset]
        return [report for report in new if self._wanted(report)]

    def passed(self, response: report_pb2.StreamDeliveryReportsResponse) -> None:
        """Note that the caller has seen all of a response, and whether it was the last."""
        self.cursor = response.cursor or self.cursor
        last = max((report.offset for report in response.reports), default=None)
        self.finished = last is None or last >= response.head_offset

    def _wanted(self, report: DeliveryReport) -> bool:
        selector = self.selector
        return (
            selector.account_id in ("", report.account_id)
            and (not selector.message_ids or report.message_id in selector.message_ids)
            and selector.labels.items() <= report.labels.items()
            and (not self.events or report.event in self.events)
        )


def report_position(
    start: str | datetime,
    selector: delivery_pb2.Selector,
    events: Iterable[str | int],
    follow: bool,
) -> ReportPosition:
    """Give the position of a new stream: "earliest", "now", a time, or a cursor."""
    wanted = [number(delivery_pb2.ReportEvent, "REPORT_EVENT_", each, "events") for each in events]
    request = report_pb2.StreamDeliveryReportsRequest()
    if isinstance(start, datetime):
        request.since.CopyFrom(timestamp(start, "since"))
    elif start in ("earliest", "now"):
        setattr(request, start, True)
    else:
        request.cursor = start
    if not follow:
        return ReportsSoFar(request, request.cursor, selector=selector, events=frozenset(wanted))
    request.selector.CopyFrom(selector)
    request.events.extend(wanted)
    return ReportPosition(request, request.cursor)
