"""What the client does to messages and to the queue, in both its twins."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mailproxy import errors
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.sync import MailProxyClient
from mailproxy.v1 import delivery_pb2, message_pb2
from mailproxy_server.mail.delivery import Outcome, Reason

from tests.support.fake_server import PLAIN, plain
from tests.support.served import TOKEN, Front, queue_of

AHEAD = datetime.now(UTC) + timedelta(days=1)


async def awaited(front: Front, name: str, *given: Any, **named: Any) -> Any:
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        return await getattr(client, name)(*given, **named)


async def threaded(front: Front, name: str, *given: Any, **named: Any) -> Any:
    def call() -> Any:
        with MailProxyClient(front.address, TOKEN) as client:
            return getattr(client, name)(*given, **named)

    return await asyncio.to_thread(call)


Call = Callable[..., Any]
BOTH = pytest.mark.parametrize("call", [awaited, threaded])


@BOTH
async def test_messages_are_listed_page_after_page(front: Front, call: Call) -> None:
    for number in range(5):
        await call(front, "submit", **{**PLAIN, "labels": {"number": str(number)}})
    found = await call(front, "list_messages")
    assert [each.labels["number"] for each in found] == ["4", "3", "2", "1", "0"]
    assert len(await call(front, "list_messages", limit=3)) == 3
    (one,) = await call(front, "list_messages", labels={"number": "2"}, states=["queued"])
    assert one.message_id == found[2].message_id
    assert await call(front, "list_messages", recipient="nobody@y.test") == []
    assert await call(front, "list_messages", accepted_from=AHEAD) == []
    assert len(await call(front, "list_messages", accepted_before=AHEAD)) == 5
    with pytest.raises(errors.InvalidRequestError, match="queued"):
        await call(front, "list_messages", states=["waiting"])


@BOTH
async def test_a_message_is_explained_rescheduled_and_cancelled(front: Front, call: Call) -> None:
    await call(front, "submit", **plain("r"))
    moved = await call(front, "reschedule_message", request_id="r", send_time=AHEAD)
    assert moved.rescheduled == 1
    told = await call(front, "explain_message", request_id="r")
    kinds = [each.kind for each in told.recipients[0].waits]
    assert message_pb2.WAIT_KIND_SCHEDULE in kinds
    gone = await call(front, "cancel_message", told.message_id)
    assert (gone.cancelled, gone.recipients[0].result) == (1, message_pb2.CANCEL_RESULT_CANCELLED)
    with pytest.raises(errors.MailProxyError) as caught:
        await call(front, "reschedule_message", told.message_id, send_time=AHEAD)
    assert caught.value.reason == "TOO_LATE"


@BOTH
async def test_what_matches_is_cancelled(front: Front, call: Call) -> None:
    await call(front, "submit", **{**PLAIN, "labels": {"kind": "news"}})
    kept = await call(front, "submit", **PLAIN)
    assert (await call(front, "cancel_message", labels={"kind": "news"})).cancelled == 1
    assert (await call(front, "cancel_message", message_ids=[kept.message_id])).cancelled == 1
    with pytest.raises(errors.InvalidRequestError, match="empty"):
        await call(front, "cancel_message")


@BOTH
async def test_a_failed_message_is_retried(front: Front, call: Call) -> None:
    sent = await call(front, "submit", **PLAIN)
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), Outcome.failed(Reason.RECIPIENT_REFUSED))
    found = await call(
        front, "retry_message", sent.message_id, recipients=["b@y.test"], expire_time=AHEAD
    )
    assert found.requeued == 1
    assert found.recipients[0].state == delivery_pb2.DELIVERY_STATE_QUEUED


@BOTH
async def test_the_queue_is_paused_and_resumed(front: Front, call: Call) -> None:
    await call(front, "submit", **{**PLAIN, "labels": {"kind": "news"}})
    assert (await call(front, "pause_queue", labels={"kind": "news"}, note="wrong")).held == 1
    assert (await call(front, "pause_queue", account="demo")).held == 1
    shown = (await call(front, "queue_status")).pauses
    assert [each.note for each in shown] == ["wrong", ""]
    assert (await call(front, "resume_queue", labels={"kind": "news"})).released == 1
    assert (await call(front, "resume_queue", account="demo")).resumed
    assert not (await call(front, "resume_queue", account="demo")).resumed


@BOTH
async def test_at_most_once_is_asked_for_and_told(front: Front, call: Call) -> None:
    sent = await call(front, "submit", **{**PLAIN, "at_most_once": True})
    found = await call(front, "get_message", sent.message_id)
    assert found.delivery_guarantee == message_pb2.DELIVERY_GUARANTEE_AT_MOST_ONCE
