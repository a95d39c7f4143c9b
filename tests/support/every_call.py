"""Every RPC of the contract, each tried once, and what became of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.rpc import status_pb2
from mailproxy.v1 import account_pb2, delivery_pb2, message_pb2, queue_pb2, report_pb2, template_pb2

from tests.support.calling import Caller, ahead, request, told_by
from tests.support.edge import Refusal, refusal_of
from tests.support.templates import GIVEN, managing, struct, stub

SECONDS = 30.0
WRITES = frozenset(
    {
        "SubmitMessage", "SubmitMessages", "WatchMessage(submit)", "CancelMessage",
        "RescheduleMessage", "RunNow", "PauseQueue", "ManageAccount",
        "ManageTemplate", "UploadAttachment",
    }
)  # fmt: skip
"""Those that cannot be answered without writing."""
Outcome = Refusal | None
"""None: it was answered, or goes on."""


@dataclass(frozen=True)
class Known:
    """A message that is queued, and another one that is not yet due."""

    queued: str
    later: str


def _unary(caller: Caller, known: Known) -> dict[str, tuple[Any, Any]]:
    messages, queue, accounts = caller.messages, caller.queue, caller.accounts
    changed = account_pb2.Account(account_id="other", host="127.0.0.1", port=26)
    selector = delivery_pb2.Selector(account_id="other")
    templates = stub(caller)
    return {
        "SubmitMessage": (messages.SubmitMessage, request()),
        "GetMessage": (messages.GetMessage, message_pb2.GetMessageRequest(message_id=known.queued)),
        "ListMessages": (messages.ListMessages, message_pb2.ListMessagesRequest()),
        "ExplainMessage": (
            messages.ExplainMessage, message_pb2.ExplainMessageRequest(message_id=known.queued),
        ),
        "CancelMessage": (
            messages.CancelMessage, message_pb2.CancelMessageRequest(message_id=known.queued),
        ),
        "RescheduleMessage": (
            messages.RescheduleMessage,
            message_pb2.RescheduleMessageRequest(message_id=known.later, send_time=ahead(hours=2)),
        ),
        "RunNow": (queue.RunNow, queue_pb2.RunNowRequest(include_retries=True)),
        "GetQueueStatus": (queue.GetQueueStatus, queue_pb2.GetQueueStatusRequest()),
        "PauseQueue": (queue.PauseQueue, queue_pb2.PauseQueueRequest(selector=selector)),
        "ResumeQueue": (queue.ResumeQueue, queue_pb2.ResumeQueueRequest(selector=selector)),
        "ManageAccount": (
            accounts.ManageAccount,
            account_pb2.ManageAccountRequest(
                action=account_pb2.ACCOUNT_ACTION_UPDATE, account=changed
            ),
        ),
        "GetAccount": (accounts.GetAccount, account_pb2.GetAccountRequest(account_id="demo")),
        "ListAccounts": (accounts.ListAccounts, account_pb2.ListAccountsRequest()),
        "ManageTemplate": (
            templates.ManageTemplate,
            managing(template_pb2.TEMPLATE_ACTION_UPDATE, subject="Hello"),
        ),
        "GetTemplate": (
            templates.GetTemplate, template_pb2.GetTemplateRequest(template_id="order"),
        ),
        "ListTemplates": (templates.ListTemplates, template_pb2.ListTemplatesRequest()),
        "RenderTemplate": (
            templates.RenderTemplate,
            template_pb2.RenderTemplateRequest(template_id="order", variables=struct(GIVEN)),
        ),
    }  # fmt: skip


async def every_call(caller: Caller, known: Known) -> Mapping[str, Outcome]:
    """Try all of them at once, those of both messages and queues."""
    unary = _unary(caller, known)
    named = {name: _tried(caller.call(*call)) for name, call in unary.items()}
    watch = caller.messages.WatchMessage
    named |= {
        "SubmitMessages": _batch(caller),
        "WatchMessage": _begun(caller, watch, _watching(message_id=known.queued)),
        "WatchMessage(submit)": _begun(caller, watch, _watching(submit=request())),
        "StreamDeliveryReports": _begun(
            caller,
            caller.reports.StreamDeliveryReports,
            report_pb2.StreamDeliveryReportsRequest(),
        ),
        "UploadAttachment": _tried(_uploaded(caller)),
    }
    async with asyncio.timeout(SECONDS * 2):
        found = await asyncio.gather(*named.values())
    return dict(zip(named, found, strict=True))


def _watching(**target: Any) -> message_pb2.WatchMessageRequest:
    return message_pb2.WatchMessageRequest(**target)


async def _tried(call: Any) -> Outcome:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    return None


async def _batch(caller: Caller) -> Outcome:
    """Of a batch whose messages are refused one by one, the first of them counts."""
    try:
        results = await caller.submit_all([request(), request()])
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    refused = [one.error for one in results if one.WhichOneof("result") == "error"]
    first: status_pb2.Status | None = refused[0] if refused else None
    return None if first is None else told_by(first)


async def _begun(caller: Caller, method: Any, wanted: Any) -> Outcome:
    """Open a stream and read its first response."""
    call = method(wanted, metadata=caller.auth, timeout=SECONDS)
    try:
        await call.read()
        code = await call.code() if call.done() else grpc.StatusCode.OK
        assert code is not grpc.StatusCode.INTERNAL
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    finally:
        call.cancel()
    return None


async def _uploaded(caller: Caller) -> None:
    async def parts() -> AsyncIterator[message_pb2.UploadAttachmentRequest]:
        yield message_pb2.UploadAttachmentRequest(start=message_pb2.UploadStart())
        yield message_pb2.UploadAttachmentRequest(chunk=bytes(1000))

    await caller.messages.UploadAttachment(parts(), metadata=caller.auth, timeout=SECONDS)
