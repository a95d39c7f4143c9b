"""Names that nothing can have are the caller's fault, never a fault of the server's."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from mailproxy.v1 import account_pb2, message_pb2, queue_pb2

from tests.support.calling import Caller
from tests.support.served import Front

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
NAMES = ["\0", "a\0b", "x" * 5000, "'; DROP TABLE mailproxy.messages; --", "\ud7ff\U0010ffff"]

Read = Callable[[Caller, str], tuple[Any, Any]]
READS: dict[str, Read] = {
    "GetAccount": lambda caller, name: (
        caller.accounts.GetAccount,
        account_pb2.GetAccountRequest(account_id=name),
    ),
    "VerifyAccount": lambda caller, name: (
        caller.accounts.VerifyAccount,
        account_pb2.VerifyAccountRequest(account_id=name),
    ),
    "ListAccounts": lambda caller, name: (
        caller.accounts.ListAccounts,
        account_pb2.ListAccountsRequest(page_token=name),
    ),
    "GetMessage by id": lambda caller, name: (
        caller.messages.GetMessage,
        message_pb2.GetMessageRequest(message_id=name),
    ),
    "GetMessage by request_id": lambda caller, name: (
        caller.messages.GetMessage,
        message_pb2.GetMessageRequest(request_id=name),
    ),
    "WatchMessage by request_id": lambda caller, name: (
        caller.messages.WatchMessage,
        message_pb2.WatchMessageRequest(request_id=name),
    ),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_a_name_that_nothing_has_is_refused_cleanly(front: Front, read: Read) -> None:
    for name in NAMES:
        refusal = await front.first.refusal(*read(front.first, name))
        assert refusal.code in (INVALID, NOT_FOUND)
        assert refusal.reason in ("FIELD_INVALID", "ACCOUNT_NOT_FOUND", "MESSAGE_NOT_FOUND")


async def test_the_status_of_an_account_that_is_not_there_is_empty(front: Front) -> None:
    assert list((await front.first.status("none")).accounts) == []
    wanted = queue_pb2.GetQueueStatusRequest(account_id="a\0")
    refusal = await front.first.refusal(front.first.queue.GetQueueStatus, wanted)
    assert refusal.fields == ("account_id",)


async def test_an_error_fits_what_clients_take_of_trailers(front: Front) -> None:
    """Other languages take 8 KiB of metadata; what is above costs the client the whole error."""
    many = [{"address": f"no address {number} {'x' * 100}"} for number in range(1000)]
    content = {"from_address": {"address": "a@b.test"}, "to": many}
    wanted = message_pb2.SubmitMessageRequest(email={"composed": content})  # type: ignore[arg-type]
    call = front.first.messages.SubmitMessage(wanted, metadata=front.first.auth)
    trailers = await call.trailing_metadata()
    size = sum(len(key) + len(value) + 32 for key, value in trailers)
    assert size + len((await call.details()).encode()) < 8192 * 3 // 4
