"""A stream starts where it was asked to, answers at once, and goes on with what comes."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import report_pb2
from mailproxy.v1.delivery_pb2 import DeliveryReport

from tests.support.calling import ahead
from tests.support.eventually import eventually
from tests.support.served import Front, queue_of, report

AT_ONCE = 2.0


def offsets(reports: Sequence[DeliveryReport]) -> list[int]:
    return [one.offset for one in reports]


async def test_the_first_response_of_an_empty_log_comes_at_once(front: Front) -> None:
    async with front.first.stream() as stream:
        first = await stream.next(AT_ONCE)
    assert (len(first.reports), first.head_offset) == (0, 0)
    assert first.cursor


async def test_a_stream_begins_at_the_earliest_report_by_default(front: Front) -> None:
    async with queue_of(front, front.first) as queue, front.first.stream() as stream:
        await report(queue, 3)
        assert offsets(await stream.until(3)) == [1, 2, 3]
        await report(queue)
        assert offsets(await stream.until(4)) == [1, 2, 3, 4]
    async with front.first.stream(earliest=True) as again:
        first = await again.next(AT_ONCE)
    assert offsets(again.reports) == [1, 2, 3, 4]
    assert first.head_offset == 4


async def test_now_gives_what_comes_and_nothing_before(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await report(queue, 2)
        async with front.first.stream(now=True) as stream:
            first = await stream.next(AT_ONCE)
            assert (len(first.reports), first.head_offset) == (0, 2)
            await report(queue)
            assert offsets(await stream.until(1)) == [3]


async def test_a_cursor_goes_on_after_its_report(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await report(queue, 4)
        async with front.first.stream() as stream:
            seen = await stream.until(4)
            end = stream.responses[-1].cursor
        async with front.first.stream(cursor=seen[1].cursor) as after:
            await after.next(AT_ONCE)
            assert offsets(after.reports) == [3, 4]
        assert list(after.reports) == seen[2:]
        async with front.first.stream(cursor=end) as after:
            assert len((await after.next(AT_ONCE)).reports) == 0
            await report(queue)
            assert offsets(await after.until(1)) == [5]


async def test_the_cursor_of_an_empty_response_resumes_too(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        async with front.first.stream(now=True) as stream:
            cursor = (await stream.next(AT_ONCE)).cursor
        await report(queue, 2)
        async with front.first.stream(cursor=cursor) as again:
            assert offsets(await again.until(2)) == [1, 2]


async def test_since_gives_what_was_recorded_from_then_on(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        for _ in range(3):
            await report(queue)
        async with front.first.stream() as stream:
            second = (await stream.until(3))[1].event_time
        async with front.first.stream(since=second) as after:
            await after.next(AT_ONCE)
            assert offsets(after.reports) == [2, 3]
        second.nanos += 1
        async with front.first.stream(since=second) as after:
            await after.next(AT_ONCE)
            assert offsets(after.reports) == [3]


@pytest.mark.parametrize("year", [1, 1969, 1999])
async def test_since_may_be_long_before_everything(front: Front, year: int) -> None:
    since = Timestamp()
    since.FromDatetime(datetime(year, 1, 1, tzinfo=UTC))
    async with queue_of(front, front.first) as queue, front.first.stream(since=since) as stream:
        await stream.next(AT_ONCE)
        await report(queue)
        assert offsets(await stream.until(1)) == [1]


async def test_since_in_the_future_leaves_out_what_comes_before(front: Front) -> None:
    soon = ahead(seconds=3)
    async with queue_of(front, front.first) as queue, front.first.stream(since=soon) as stream:
        await stream.next(AT_ONCE)
        await report(queue)
        await eventually(lambda: datetime.now(UTC) > soon.ToDatetime(UTC), "the time has come")
        await report(queue)
        assert offsets(await stream.until(1)) == [2]


async def test_a_time_that_is_none_is_refused(front: Front) -> None:
    wanted = report_pb2.StreamDeliveryReportsRequest(since=Timestamp(seconds=10**15))
    refusal = await front.first.refusal(front.first.reports.StreamDeliveryReports, wanted)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", ("since",))


async def test_many_streams_see_the_same(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        streams = [front.first.stream() for _ in range(20)]
        opened = [await stream.__aenter__() for stream in streams]
        await report(queue, 10)
        seen = await asyncio.gather(*(stream.until(10) for stream in opened))
        for stream in streams:
            await stream.__aexit__(None, None, None)
    assert all(reports == seen[0] for reports in seen)
