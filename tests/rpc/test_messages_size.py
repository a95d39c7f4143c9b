"""What is told of a message of 1,000 recipients fits what other languages receive: 4 MiB."""

from dataclasses import replace

from mailproxy.v1 import message_pb2
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.transcript import Exchange, Reply, Stage, Transcript
from mailproxy_server.queue import hot, settle
from mailproxy_server.queue.settle import Settlement

from tests.support.calling import request
from tests.support.emails import composed
from tests.support.served import Front, queue_of

MIB = 1024 * 1024
WORDS = Reply(450, "4.2.2", "ö" * 1023 + "xx")
EMAIL = composed(
    {
        "labels": {f"{'k' * 60}{number:03}": "ü" * 128 for number in range(16)},
        "metadata": {"a": "x" * 4000},
    },
    to=[{"address": f"{'a' * 60}-{number:03}@{'b' * 60}.test"} for number in range(1000)],
)


async def talk(front: Front, outcome: Outcome) -> None:
    """Let a relay say to each recipient as much as is ever kept."""
    stages = (Stage.CONNECT, Stage.EHLO, Stage.MAIL, Stage.RCPT)
    dialogue = Transcript(
        "relay.test:25", tuple(Exchange(stage, "x" * 500, WORDS) for stage in stages)
    )
    async with queue_of(front, front.first) as queue:
        while rows := await queue.claim(250):
            done = [Settlement(row, outcome, transcript=dialogue) for row in rows]
            async with hot.connection(queue.pool) as link:
                assert len(await settle.settle(link, queue.worker_id, done)) == len(done)


async def test_a_message_with_everything_at_its_limit_is_below_4_mib(front: Front) -> None:
    answer = await front.first.submit(EMAIL, request_id="a")
    await talk(front, Outcome.deferred(Reason.RECIPIENT_REFUSED, 3600.0, WORDS, Stage.RCPT))
    got = await front.first.get(answer.message_id, include_attempts=True)
    assert got.ByteSize() < 4 * MIB
    assert (len(got.recipients), len(got.labels)) == (1000, 16)
    assert all(one.last_report.reply.code == 450 for one in got.recipients)
    assert 30 < len(got.attempts) <= 100
    again = await front.first.submit(EMAIL, request_id="a")
    assert again.replayed
    assert again.ByteSize() < 4 * MIB


async def test_the_responses_of_a_watch_are_below_1_mib(front: Front) -> None:
    answer = await front.first.submit(EMAIL)
    await talk(front, Outcome.failed(Reason.RECIPIENT_REFUSED, WORDS, Stage.RCPT))
    responses = await front.first.watch(message_id=answer.message_id)
    reports = [report for response in responses for report in response.reports]
    assert [report.offset for report in reports] == list(range(1, 1001))
    assert all(len(report.labels) == 16 for report in reports)
    assert max(response.ByteSize() for response in responses) < MIB


async def test_words_that_were_cut_are_marked(front: Front) -> None:
    answer = await front.first.submit()
    cut = replace(WORDS, text="x" + "ö" * 1023)  # 2,047 octets: another ö would have been split
    async with queue_of(front, front.first) as queue:
        await queue.settle(
            await queue.claim(), Outcome.failed(Reason.RECIPIENT_REFUSED, cut, Stage.RCPT)
        )
    (only,) = (await front.first.get(answer.message_id)).recipients
    assert only.last_report.reply.text_truncated
    assert only.last_report.reply.text == cut.text


async def test_a_batch_answers_for_a_thousand_messages_below_4_mib(front: Front) -> None:
    batch = message_pb2.SubmitMessagesRequest(requests=[request(request_id="a")] * 1000)
    response = await front.first.call(front.first.messages.SubmitMessages, batch)
    assert response.ByteSize() < 4 * MIB
