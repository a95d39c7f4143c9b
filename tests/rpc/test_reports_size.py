"""Responses stay below 1 MiB, however much there is to say; nothing is left out for it."""

import json
from dataclasses import replace

from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.mail.transcript import Reply

from tests.support.served import Front, queue_of

MIB = 1024 * 1024
COUNT = 1200
TALKATIVE = Outcome.sent(Reply(250, "2.0.0", "ö" * 1024), "id-of-the-relay" * 10)
LABELS = json.dumps({f"{'k' * 60}{n:03}": "ü" * 128 for n in range(16)})
METADATA = json.dumps({"a": "x" * 4095})


async def test_large_reports_come_in_responses_below_1_mib_without_a_gap(front: Front) -> None:
    async with queue_of(front, front.first) as queue, front.first.stream() as live:
        for _ in range(COUNT // 200):
            messages = [
                replace(queue.message(), labels=LABELS, metadata=METADATA) for _ in range(200)
            ]
            await queue.intake.submit_all(messages)
            assert await queue.settle(await queue.claim(200), TALKATIVE) == 200
        async with front.first.stream() as late:
            for stream in (late, live):
                reports = await stream.until(COUNT)
                assert [report.offset for report in reports] == list(range(1, COUNT + 1))
                sizes = [response.ByteSize() for response in stream.responses]
                assert max(sizes) < MIB
    assert sum(sizes) > 8 * MIB
    assert len(late.responses) < COUNT / 50


async def test_many_small_reports_are_gathered(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await queue.submit_many(3000)
        while rows := await queue.claim(1000):
            await queue.settle(rows)
        async with front.first.stream() as stream:
            reports = await stream.until(3000)
    assert [report.offset for report in reports] == list(range(1, 3001))
    assert len(stream.responses) <= 10
