"""RetryMessage brings failed and expired recipients back to the queue, for a new round."""

import asyncio
from datetime import timedelta

import grpc
from mailproxy.v1 import account_pb2, message_pb2
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.transcript import Reply, Stage

from tests.support.calling import ahead
from tests.support.control import TWO, retry, states
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on, queue_of

FAILED = Outcome.failed(Reason.RECIPIENT_REFUSED, Reply(550, "5.1.1", "no such user"), Stage.RCPT)


async def test_a_failed_recipient_comes_back_for_a_new_round_and_a_sent_one_does_not(
    front: Front,
) -> None:
    sent = await front.first.submit(composed(to=TWO))
    async with queue_of(front, front.first) as queue:
        one, two = await queue.claim()
        await queue.settle([one])
        await queue.settle([two], FAILED)
        assert await retry(front.first, sent.message_id) == 1
        assert await states(front.first, sent.message_id) == ["SENT", "QUEUED"]
        (back,) = await queue.claim()
        assert (back.recipient, back.attempts, back.claim_no) == ("bob@b.test", 0, 2)
        assert back.round_at is not None
        assert await queue.settle([two]) == 0, "the first round's fence holds no more"
        await queue.settle([back])
        reports = await queue.reports()
    assert [report.event for report in reports] == [2, 3, 7, 2]
    assert [report.log_offset for report in reports] == [1, 2, 3, 4]
    assert await retry(front.first, sent.message_id) == 0


async def test_two_retries_at_once_bring_a_recipient_back_once(front: Front) -> None:
    sent = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        for _ in range(10):
            await queue.settle(await queue.claim(), FAILED)
            again = [retry(front.first, sent.message_id) for _ in range(5)]
            assert sum(await asyncio.gather(*again)) == 1
        offsets = [report.log_offset for report in await queue.reports()]
    assert offsets == list(range(1, 21))


async def test_an_expired_message_is_retried_with_another_expiry(front: Front) -> None:
    sent = await front.first.submit(composed({"expire_time": ahead(hours=1)}))
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), Outcome.expired())
        until = ahead(hours=5)
        assert await retry(front.first, sent.message_id, expire_time=until) == 1
        (row,) = await queue.claim()
        assert row.expire_at is not None
        wanted = until.ToDatetime(tzinfo=row.expire_at.tzinfo)
        assert abs(row.expire_at - wanted) < timedelta(milliseconds=1)


async def test_only_the_named_recipients_are_retried(front: Front) -> None:
    sent = await front.first.submit(composed(to=TWO))
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), FAILED)
    assert await retry(front.first, sent.message_id, recipients=["bob@b.test"]) == 1
    assert await states(front.first, sent.message_id) == ["FAILED", "QUEUED"]


async def test_without_its_content_a_message_cannot_be_retried(front: Front) -> None:
    sent = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), FAILED)
        await queue.pool.execute("UPDATE mailproxy.messages SET content = ''")
    wanted = message_pb2.RetryMessageRequest(message_id=sent.message_id)
    refusal = await front.first.refusal(front.first.messages.RetryMessage, wanted)
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONTENT_GONE",
    )


async def test_it_goes_out_again_with_the_same_bytes(database_url: str) -> None:
    script = {"RCPT": ["550 5.1.1 no such user", None]}
    async with ScriptedRelay(script) as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        sent = await front.first.submit(composed({"send_time": ahead(seconds=1)}))
        async with dispatching(front, poll_seconds=60, sweep_seconds=60):
            await front.first.watch(message_id=sent.message_id)
            before = await front.first.get(sent.message_id)
            assert await retry(front.first, sent.message_id) == 1
            await relay.until(lambda: relay.messages, "the message arrived")
            after = await front.first.get(sent.message_id)
    assert after.send_time == before.send_time
    assert relay.messages[0].header("Message-ID") == f"<{sent.message_id}@example.com>"


async def test_the_account_must_be_there_and_the_error_names_those_that_are(front: Front) -> None:
    await front.first.make_account(account_id="old")
    sent = await front.first.submit(composed({"account_id": "old"}))
    async with queue_of(front, front.first) as queue:
        queue.account_id = "old"
        await queue.settle(await queue.claim(), FAILED)
    wanted = account_pb2.ManageAccountRequest(
        action=account_pb2.ACCOUNT_ACTION_DELETE, account=account_pb2.Account(account_id="old")
    )
    await front.first.call(front.first.accounts.ManageAccount, wanted)
    again = message_pb2.RetryMessageRequest(message_id=sent.message_id)
    refusal = await front.first.refusal(front.first.messages.RetryMessage, again)
    assert refusal.reason == "ACCOUNT_NOT_FOUND"
    assert "demo" in refusal.message
    assert await states(front.first, sent.message_id) == ["FAILED"]


async def test_a_message_that_another_tenant_has_is_not_found(front: Front) -> None:
    sent = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), FAILED)
    wanted = message_pb2.RetryMessageRequest(message_id=sent.message_id)
    refusal = await front.other.refusal(front.other.messages.RetryMessage, wanted)
    assert refusal.reason == "MESSAGE_NOT_FOUND"


async def test_bad_fields_are_refused(front: Front) -> None:
    sent = await front.first.submit()
    ask = front.first.messages.RetryMessage
    for fields, at in (
        ({"expire_time": ahead(hours=-1)}, "expire_time"),
        ({"recipients": ["a\0"]}, "recipients[0]"),
        ({"recipients": ["a@b.test"] * 1001}, "recipients"),
    ):
        wanted = message_pb2.RetryMessageRequest(message_id=sent.message_id, **fields)
        assert (await front.first.refusal(ask, wanted)).fields == (at,)
