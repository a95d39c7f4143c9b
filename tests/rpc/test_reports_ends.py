"""Ends that no attempt brought about are told as what they are."""

from datetime import UTC, datetime

from mailproxy.v1 import account_pb2, delivery_pb2

from tests.support.calling import ahead, request
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on

EXPIRED, FAILED = delivery_pb2.REPORT_EVENT_EXPIRED, delivery_pb2.REPORT_EVENT_FAILED


async def test_a_message_ends_expired_at_its_time(database_url: str) -> None:
    async with (
        ScriptedRelay({"RCPT": "451 4.7.1 not yet"}) as relay,
        front_on(database_url) as front,
    ):
        await front.first.make_account(relay.port)
        end = ahead(seconds=2)
        answer = await front.first.submit(composed({"expire_time": end}))
        async with dispatching(front):
            responses = await front.first.watch(message_id=answer.message_id)
        deferred, expired = [one for response in responses for one in response.reports]
        assert (deferred.attempt, deferred.reply.code) == (1, 451)
        assert deferred.next_attempt_time.ToMilliseconds() <= end.ToMilliseconds() + 1000
        assert (expired.event, expired.final, expired.attempt) == (EXPIRED, True, 0)
        assert not expired.HasField("reply")
        late = expired.event_time.ToDatetime(UTC) - end.ToDatetime(UTC)
        assert 0 <= late.total_seconds() < 10
        (only,) = (await front.first.get(answer.message_id)).recipients
        assert (only.state, only.attempts) == (delivery_pb2.DELIVERY_STATE_EXPIRED, 1)
        assert datetime.now(UTC) > end.ToDatetime(UTC)


async def test_what_is_queued_for_a_deleted_account_fails(front: Front) -> None:
    answer = await front.first.submit(composed({"send_time": ahead(seconds=2)}))
    action = account_pb2.ACCOUNT_ACTION_DELETE
    gone = account_pb2.Account(account_id="demo")
    wanted = account_pb2.ManageAccountRequest(action=action, account=gone)
    refusal = await front.first.refusal(front.first.accounts.ManageAccount, wanted)
    assert (refusal.reason, refusal.metadata) == ("ACCOUNT_HAS_QUEUED", {"queued": "1"})
    wanted.force = True
    await front.first.call(front.first.accounts.ManageAccount, wanted)
    async with dispatching(front):
        responses = await front.first.watch(message_id=answer.message_id)
    (report,) = [one for response in responses for one in response.reports]
    assert (report.event, report.reason) == (FAILED, delivery_pb2.FAILURE_REASON_ACCOUNT_DELETED)
    assert (report.attempt, report.relay_host) == (0, "")
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, request())
    assert refusal.reason == "ACCOUNT_NOT_FOUND"
