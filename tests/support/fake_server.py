"""A server at the wire's edge, for what a real one does not do on demand: it refuses, cuts
streams, holds calls, and counts what it got. It keeps no promise of the real one but that a
request_id has one message.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, NoReturn, Self, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from mailproxy.message import Message
from mailproxy.v1 import (
    delivery_pb2,
    message_pb2,
    message_pb2_grpc,
    queue_pb2,
    queue_pb2_grpc,
    report_pb2,
    report_pb2_grpc,
)

Refusal = Callable[[str, Any], status_pb2.Status | None]


def plain(request_id: str) -> Message:
    """PLAIN with a request_id."""
    return {**PLAIN, "request_id": request_id}


def status(
    code: grpc.StatusCode, reason: str = "", message: str = "", retry_after: float | None = None
) -> status_pb2.Status:
    """A google.rpc.Status as the real server makes it."""
    result = status_pb2.Status(code=code.value[0], message=message or reason or code.name)
    details: list[Any] = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="mailproxy.v1"))
    if retry_after is not None:
        delay = Duration()
        delay.FromMilliseconds(int(retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        result.details.append(packed)
    return result


PLAIN = Message(from_address="a@x.test", to="b@y.test", text="Hello")
SENT = delivery_pb2.REPORT_EVENT_SENT
DEFERRED = delivery_pb2.REPORT_EVENT_DEFERRED
UNAVAILABLE = status(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")


class FakeServer(
    message_pb2_grpc.MessageServiceServicer,
    report_pb2_grpc.ReportServiceServicer,
    queue_pb2_grpc.QueueServiceServicer,
):
    """Listens on a port of its own until `stop`; `restart` takes the same port again."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.batches: list[int] = []
        self.request_ids: list[str] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.timeouts: list[float] = []
        self.messages: dict[str, message_pb2.SubmitMessageResponse] = {}
        self.traceparents: list[str] = []
        self.log: list[delivery_pb2.DeliveryReport] = []
        self.cut_after: deque[int] = deque()
        self.refuse: Refusal = lambda method, request: None
        self.refuse_answer: Refusal = lambda method, request: None
        self.times: list[float] = []
        self.gate = threading.Event()
        self.gate.set()
        self._grown = threading.Condition()
        self._stopping = False
        self.port = 0
        self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def restart(self) -> None:
        self._stopping = False
        options = [("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(32), options=options)
        message_pb2_grpc.add_MessageServiceServicer_to_server(self, self._server)
        report_pb2_grpc.add_ReportServiceServicer_to_server(self, self._server)
        queue_pb2_grpc.add_QueueServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        """Cut every connection and leave the port."""
        self._stopping = True
        self.gate.set()
        with self._grown:
            self._grown.notify_all()
        self._server.stop(None).wait()

    def report(self, message_id: str, count: int = 1, final: bool = False) -> None:
        """Append reports to the log."""
        with self._grown:
            for _ in range(count):
                offset = len(self.log) + 1
                self.log.append(
                    delivery_pb2.DeliveryReport(
                        offset=offset,
                        report_id=f"log-{offset}",
                        cursor=f"c{offset}",
                        message_id=message_id,
                        recipient="b@y.test",
                        event=SENT if final else DEFERRED,
                        final=final,
                    )
                )
            self._grown.notify_all()

    def SubmitMessage(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._enter("SubmitMessage", request, context)
        result = self._submit(request)
        if result.HasField("error"):
            _abort(context, result.error)
        if cut := self.refuse_answer("answered", request):
            _abort(context, cut)
        return result.response

    def SubmitMessages(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.batches.append(len(request.requests))
        self._enter("SubmitMessages", request, context)
        results = [self._submit(each) for each in request.requests]
        return message_pb2.SubmitMessagesResponse(results=results)

    def GetQueueStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._enter("GetQueueStatus", request, context)
        return queue_pb2.GetQueueStatusResponse(head_offset=len(self.log))

    def RunNow(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._enter("RunNow", request, context)
        return queue_pb2.RunNowResponse(made_due=len(request.selector.message_ids))

    def CancelMessage(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._enter("CancelMessage", request, context)
        return message_pb2.CancelMessageResponse(cancelled=1)

    def _unmeant(self, request: Any, context: Any) -> NoReturn:
        raise NotImplementedError("no test of the client asks this server for it")

    ListMessages = ExplainMessage = RescheduleMessage = RetryMessage = _unmeant
    PauseQueue = ResumeQueue = UploadAttachment = cast(Any, _unmeant)

    def GetMessage(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._enter("GetMessage", request, context)
        return message_pb2.GetMessageResponse(message_id=request.message_id)

    def WatchMessage(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self._enter("WatchMessage", request, context)
        for report in self._follow(0, context):
            if report and report.message_id == request.message_id:
                yield message_pb2.WatchMessageResponse(reports=[report])
                if report.final:
                    return

    def StreamDeliveryReports(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self._enter("StreamDeliveryReports", request, context)
        start = int(request.cursor[1:] or 0) if request.cursor else 0
        start = len(self.log) if request.now else start
        if start >= len(self.log):
            yield report_pb2.StreamDeliveryReportsResponse(
                cursor=f"c{start}", head_offset=len(self.log)
            )
        for report in self._follow(start, context):
            offset = report.offset if report else len(self.log)
            yield report_pb2.StreamDeliveryReportsResponse(
                reports=[report] if report else [],
                cursor=f"c{offset}",
                head_offset=len(self.log),
            )

    def _follow(self, start: int, context: Any) -> Iterator[delivery_pb2.DeliveryReport | None]:
        """The log from `start` on, cut when told so; None for each idle second."""
        left = self.cut_after.popleft() if self.cut_after else -1
        while context.is_active():
            page = self._after(start)
            if self._stopping:
                _abort(context, status(grpc.StatusCode.UNAVAILABLE, "DRAINING"))
            if not page:
                yield None
            for report in page:
                if left == 0:
                    _abort(context, status(grpc.StatusCode.UNAVAILABLE))
                left -= 1
                start = report.offset
                yield report

    def _after(self, start: int) -> list[delivery_pb2.DeliveryReport]:
        with self._grown:
            self._grown.wait_for(lambda: self._stopping or len(self.log) > start, timeout=1)
            return self.log[start:]

    def _enter(self, method: str, request: Any, context: Any) -> None:
        self.calls[method] += 1
        self.times.append(time.monotonic())
        self.metadata.append({each.key: each.value for each in context.invocation_metadata()})
        self.timeouts.append(context.time_remaining())
        self.gate.wait(30)
        if refused := self.refuse(method, request):
            _abort(context, refused)

    def _submit(self, request: message_pb2.SubmitMessageRequest) -> message_pb2.SubmitResult:
        self.request_ids.append(request.request_id)
        self.traceparents.append(request.traceparent)
        if refused := self.refuse("submit", request):
            return message_pb2.SubmitResult(error=refused)
        known = self.messages.get(request.request_id)
        response = message_pb2.SubmitMessageResponse(
            message_id=known.message_id if known else f"m-{request.request_id}",
            replayed=known is not None,
        )
        self.messages[request.request_id] = response
        return message_pb2.SubmitResult(response=response)


class _Refusal(NamedTuple):
    """What grpc's `abort_with_status` reads."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def _abort(context: Any, refused: status_pb2.Status) -> NoReturn:
    code = next(each for each in grpc.StatusCode if each.value[0] == refused.code)
    trailers = (("grpc-status-details-bin", refused.SerializeToString()),)
    context.abort_with_status(_Refusal(code, refused.message, trailers))
    raise AssertionError("abort_with_status returned")
