import asyncio
import socket

import asyncpg
import grpc
import pytest
import sqlalchemy.exc
from mailproxy_server.mail.errors import CallerError, Unavailable
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.edge import check_deadline

from tests.support.edge import (
    TENANT,
    Refusal,
    Served,
    Submit,
    calling,
    raw_submit,
    refused,
    serving,
    until,
)


def raising(error: BaseException) -> Submit:
    async def submit(request: object, call: Call) -> object:
        raise error

    return submit


async def outcome(error: BaseException) -> tuple[Refusal, Served]:
    async with serving(raising(error)) as served, calling(served) as channel:
        return await refused(raw_submit(channel, b"")), served


async def test_a_bug_is_internal_with_an_id_and_nothing_of_its_text() -> None:
    bug = asyncpg.UndefinedTableError('relation "mailproxy.secrets" does not exist')
    refusal, served = await outcome(bug)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "relation" not in refusal.message
    assert served.bugs == [(refusal.metadata["id"], bug)]


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError("secret host"),
        asyncpg.CannotConnectNowError("secret host"),
        asyncpg.InterfaceError("connection is closed: secret host"),
        sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("secret host")),
        sqlalchemy.exc.TimeoutError("secret host"),
        ConnectionRefusedError("secret host"),
        OSError("secret host: all addresses failed"),
        FileNotFoundError("secret socket"),
        socket.gaierror(-2, "secret host"),
        TimeoutError("secret host"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_database_that_is_away_is_unavailable_for_a_while(error: Exception) -> None:
    refusal, served = await outcome(error)
    assert refusal.code is grpc.StatusCode.UNAVAILABLE
    assert refusal.reason == "DATABASE_UNAVAILABLE"
    assert refusal.retry_delay == 1.0
    assert refusal.pushback == "1000"
    assert "secret" not in refusal.message
    assert served.bugs == []


async def test_an_error_for_the_caller_passes_with_its_metadata() -> None:
    error = CallerError("REQUEST_ID_REUSED", "used before", {"message_id": "m"})
    refusal, _ = await outcome(error)
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert (refusal.message, refusal.metadata) == ("used before", {"message_id": "m"})


async def test_an_error_beyond_ascii_arrives_whole() -> None:
    refusal, _ = await outcome(CallerError("ACCOUNT_NOT_FOUND", "kein Konto „größer“"))
    assert refusal.message == "kein Konto „größer“"


async def test_an_error_is_answered_with_trailers_alone_so_that_a_client_may_retry() -> None:
    seen = []

    async def once(request: object, call: Call) -> object:
        seen.append(call)
        raise Unavailable("QUEUE_FULL", "full", retry_after=0.01)

    policy = (
        '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 3, "initialBackoff": '
        '"0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1, '
        '"retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}}]}'
    )
    options = [("grpc.service_config", policy), ("grpc.use_local_subchannel_pool", 1)]
    async with (
        serving(once) as served,
        grpc.aio.insecure_channel(served.address, options=options) as channel,
    ):
        refusal = await refused(raw_submit(channel, b""))
    assert refusal.reason == "QUEUE_FULL"
    assert len(seen) == 3


async def test_a_servicer_sees_the_deadline_and_its_end_is_no_bug() -> None:
    begun = []

    async def slow(request: object, call: Call) -> object:
        begun.append(call.time_remaining())
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(slow) as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, b"", timeout=1))
        assert refusal.code is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: served.registry.edge.budget.used == 0)
    assert len(begun) == 1
    assert 0 < (begun[0] or 0) < 1.1, "gRPC rounds what it sends up"
    assert served.bugs == []


@pytest.mark.parametrize("remaining", [0, -1])
def test_a_call_whose_deadline_has_passed_is_not_begun(remaining: float) -> None:
    with pytest.raises(CallerError) as caught:
        check_deadline(Call(TENANT, "", 0, lambda: remaining))
    assert caught.value.reason == "DEADLINE"


@pytest.mark.parametrize("remaining", [None, 0.1])
def test_a_call_with_time_is_begun(remaining: float | None) -> None:
    check_deadline(Call(TENANT, "", 0, lambda: remaining))
