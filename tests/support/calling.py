"""One tenant's calls to a front, by the generated stubs: short words for long requests."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2
from mailproxy.v1 import account_pb2, delivery_pb2, message_pb2, queue_pb2, report_pb2
from mailproxy.v1.account_pb2_grpc import AccountServiceStub
from mailproxy.v1.message_pb2_grpc import MessageServiceStub
from mailproxy.v1.queue_pb2_grpc import QueueServiceStub
from mailproxy.v1.report_pb2_grpc import ReportServiceStub

from tests.support.edge import Refusal, refusal_of
from tests.support.emails import composed

SECONDS = 20.0
"""How long a call may take before the test fails."""

Request = message_pb2.SubmitMessageRequest
Response = report_pb2.StreamDeliveryReportsResponse
Report = delivery_pb2.DeliveryReport


def request(email: message_pb2.Email | None = None, **fields: Any) -> Request:
    """Give a request for this email, or for a good one."""
    return Request(email=email or composed(), **fields)


def ahead(**delta: float) -> Timestamp:
    """Give an instant so far from now."""
    found = Timestamp()
    found.FromDatetime(datetime.now(UTC) + timedelta(**delta))
    return found


def told_by(status: status_pb2.Status) -> Refusal:
    """Give what an error inside a response says."""
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    return refusal_of(
        grpc.aio.AioRpcError(
            code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), status.message
        )
    )


@dataclass(frozen=True)
class Caller:
    """Speaks for the tenant of `token`."""

    channel: grpc.aio.Channel
    token: str

    @property
    def auth(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)

    async def call(self, method: Any, request: Any) -> Any:
        """Make a unary call."""
        return await method(request, metadata=self.auth, timeout=SECONDS)

    async def refusal(self, method: Any, request: Any) -> Refusal:
        """Make a call, unary or streaming, that must fail, and give how."""
        call = method(request, metadata=self.auth, timeout=SECONDS)
        try:
            if isinstance(call, grpc.aio.UnaryUnaryCall):
                await call
            else:
                async for _ in call:
                    pass
        except grpc.aio.AioRpcError as error:
            return refusal_of(error)
        raise AssertionError("the call was not refused")

    async def submit(
        self, email: message_pb2.Email | None = None, **fields: Any
    ) -> message_pb2.SubmitMessageResponse:
        response: message_pb2.SubmitMessageResponse = await self.call(
            self.messages.SubmitMessage, request(email, **fields)
        )
        return response

    @staticmethod
    def batch(requests: Sequence[Request]) -> message_pb2.SubmitMessagesRequest:
        return message_pb2.SubmitMessagesRequest(requests=requests)

    async def submit_all(self, requests: Sequence[Request]) -> Sequence[message_pb2.SubmitResult]:
        response: message_pb2.SubmitMessagesResponse = await self.call(
            self.messages.SubmitMessages, self.batch(requests)
        )
        return response.results

    async def get(self, message_id: str, **fields: Any) -> message_pb2.GetMessageResponse:
        wanted = message_pb2.GetMessageRequest(message_id=message_id, **fields)
        response: message_pb2.GetMessageResponse = await self.call(self.messages.GetMessage, wanted)
        return response

    async def watch(self, **target: Any) -> list[message_pb2.WatchMessageResponse]:
        """Watch a message to its end."""
        wanted = message_pb2.WatchMessageRequest(**target)
        call = self.messages.WatchMessage(wanted, metadata=self.auth, timeout=SECONDS)
        return [response async for response in call]

    async def run_now(self, **fields: Any) -> int:
        response: queue_pb2.RunNowResponse = await self.call(
            self.queue.RunNow, queue_pb2.RunNowRequest(**fields)
        )
        return response.made_due

    async def status(self, account_id: str = "") -> queue_pb2.GetQueueStatusResponse:
        response: queue_pb2.GetQueueStatusResponse = await self.call(
            self.queue.GetQueueStatus, queue_pb2.GetQueueStatusRequest(account_id=account_id)
        )
        return response

    async def make_account(self, port: int = 25, account_id: str = "demo", **fields: Any) -> None:
        """Make an account whose relay is on loopback."""
        account = account_pb2.Account(
            account_id=account_id,
            host="127.0.0.1",
            port=port,
            tls=account_pb2.TLS_MODE_NONE,
            **fields,
        )
        action = account_pb2.ACCOUNT_ACTION_CREATE
        wanted = account_pb2.ManageAccountRequest(action=action, account=account)
        await self.call(self.accounts.ManageAccount, wanted)

    @asynccontextmanager
    async def stream(self, **fields: Any) -> AsyncIterator["Stream"]:
        """Follow the delivery reports for the length of the block."""
        wanted = report_pb2.StreamDeliveryReportsRequest(**fields)
        call = self.reports.StreamDeliveryReports(wanted, metadata=self.auth)
        try:
            yield Stream(call)
        finally:
            call.cancel()

    @property
    def messages(self) -> Any:
        return MessageServiceStub(self.channel)

    @property
    def reports(self) -> Any:
        return ReportServiceStub(self.channel)

    @property
    def queue(self) -> Any:
        return QueueServiceStub(self.channel)

    @property
    def accounts(self) -> Any:
        return AccountServiceStub(self.channel)


class Stream:
    """An open stream of delivery reports, and what came on it."""

    def __init__(self, call: Any):
        self._call = call
        self.responses: list[Response] = []

    @property
    def reports(self) -> list[Report]:
        """All reports that came."""
        return [report for response in self.responses for report in response.reports]

    async def next(self, seconds: float = SECONDS) -> Response:
        """Wait for the next response."""
        async with asyncio.timeout(seconds):
            response: Response = await anext(aiter(self._call))
        self.responses.append(response)
        return response

    async def until(self, count: int) -> list[Report]:
        """Wait until so many reports have come; fails when there are more."""
        while len(self.reports) < count:
            await self.next()
        assert len(self.reports) == count
        return self.reports

    async def refusal(self) -> Refusal:
        """Read on until the stream fails, and give how."""
        try:
            while True:
                await self.next()
        except grpc.aio.AioRpcError as error:
            return refusal_of(error)
