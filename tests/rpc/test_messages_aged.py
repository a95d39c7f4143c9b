"""Messages of which not all is kept any longer: they answer, they end, and stay as they are."""

import grpc
from mailproxy.v1 import message_pb2
from mailproxy_server.queue import emptying, hot

from tests.support.control import states
from tests.support.emails import composed
from tests.support.queue import Queue
from tests.support.served import Front, queue_of


async def empty(queue: Queue) -> None:
    async with hot.connection(queue.pool) as link:
        assert await emptying.empty(link, queue.tenant_id, 0) == (1, False)


async def test_a_message_without_content_is_shown_without_subject(front: Front) -> None:
    answer = await front.first.submit(composed(subject="hello"), request_id="order-17")
    assert (await front.first.get(answer.message_id)).subject == "hello"
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim())
        await empty(queue)
    found = await front.first.get(answer.message_id)
    assert (found.subject, found.request_id) == ("", "order-17")
    assert await states(front.first, answer.message_id) == ["SENT"]
    again = await front.first.submit(composed(subject="hello"), request_id="order-17")
    assert (again.message_id, again.replayed) == (answer.message_id, True)


async def test_a_message_without_content_is_not_retried(front: Front) -> None:
    answer = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim())
        await empty(queue)
    refusal = await front.first.refusal(
        front.first.messages.RetryMessage,
        message_pb2.RetryMessageRequest(message_id=answer.message_id),
    )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONTENT_GONE")


async def test_a_message_whose_reports_have_aged_out_is_watched_to_its_end(front: Front) -> None:
    answer = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim())
    await front.link.execute("DELETE FROM mailproxy.report_log")
    responses = await front.first.watch(message_id=answer.message_id)
    assert [report for one in responses for report in one.reports] == []
    assert list((await front.first.get(answer.message_id)).recipients) == []
