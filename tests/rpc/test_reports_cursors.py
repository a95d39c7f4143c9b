"""A cursor that does not belong to this log is refused, never silently misread."""

import base64
import struct
from dataclasses import replace

import grpc
import pytest
from mailproxy.v1 import report_pb2
from mailproxy_server.reports.cursor import Cursor, decode, encode

from tests.support.edge import Refusal
from tests.support.postgres import Cluster
from tests.support.served import Front, front_on, queue_of, report

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


async def resume(front: Front, cursor: str) -> Refusal:
    wanted = report_pb2.StreamDeliveryReportsRequest(cursor=cursor)
    return await front.first.refusal(front.first.reports.StreamDeliveryReports, wanted)


async def end_of(front: Front) -> Cursor:
    async with front.first.stream(now=True) as stream:
        found = decode((await stream.next()).cursor)
    assert found is not None
    return found


async def test_another_databases_cursor_is_foreign(front: Front, postgres: Cluster) -> None:
    url = postgres.make_database()
    async with front_on(url) as elsewhere:
        cursor = encode(await end_of(elsewhere))
    postgres.drop_database(url)
    refusal = await resume(front, cursor)
    assert (refusal.code, refusal.reason) == (PRECONDITION, "CURSOR_FOREIGN")
    assert "earliest" in refusal.message


async def test_another_tenants_cursor_is_foreign(front: Front) -> None:
    async with front.other.stream(now=True) as stream:
        cursor = (await stream.next()).cursor
    assert (await resume(front, cursor)).reason == "CURSOR_FOREIGN"


async def test_a_cursor_ahead_of_the_head_is_foreign(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await report(queue, 2)
    end = await end_of(front)
    for ahead in (1, 2**63, 2**64 - 1 - end.offset):
        cursor = encode(Cursor(end.log_id, end.day, end.offset + ahead))
        refusal = await resume(front, cursor)
        assert (refusal.code, refusal.reason) == (PRECONDITION, "CURSOR_FOREIGN")


async def test_a_cursor_of_an_earlier_log_is_good_up_to_where_that_one_ended(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await report(queue, 3)
        before = await end_of(front)
        await front.link.execute("UPDATE mailproxy.report_heads SET log_id = gen_random_uuid()")
        await report(queue, 3)
        refusal = await resume(front, encode(replace(before, offset=4)))
        assert (refusal.code, refusal.reason) == (PRECONDITION, "CURSOR_FOREIGN")
        assert refusal.metadata["common_offset"] == "3"
        for cursor in (encode(before), refusal.metadata["common_cursor"]):
            async with front.first.stream(cursor=cursor) as stream:
                assert [one.offset for one in await stream.until(3)] == [4, 5, 6]
        async with front.first.stream(cursor=encode(replace(before, offset=1))) as stream:
            assert [one.offset for one in await stream.until(5)] == [2, 3, 4, 5, 6]


async def test_a_report_keeps_its_id_in_later_logs(front: Front) -> None:
    async def told(count: int) -> list[tuple[int, str, str]]:
        async with front.first.stream(earliest=True) as stream:
            found = await stream.until(count)
        return [(one.offset, one.report_id, one.cursor) for one in found]

    async with queue_of(front, front.first) as queue:
        await report(queue, 2)
        first = await told(2)
        for count in (4, 6):
            await front.link.execute("UPDATE mailproxy.report_heads SET log_id = gen_random_uuid()")
            await report(queue, 2)
            now = await told(count)
            assert now[: len(first)] == first
            first = now
    assert len({report_id.partition("-")[0] for _, report_id, _ in first}) == 3


async def test_a_stream_ends_where_the_database_has_lost_what_it_told(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await report(queue, 5)
        async with front.first.stream() as ahead:
            reports = await ahead.until(5)
            async with front.first.stream(cursor=reports[1].cursor) as level:
                await level.until(3)
                # As a standby that lacks the last three would have it.
                await front.link.execute("DELETE FROM mailproxy.report_log WHERE log_offset > 2")
                await front.link.execute(
                    """UPDATE mailproxy.report_heads SET last_offset = 2 WHERE tenant_id = $1""",
                    queue.tenant_id,
                )
                await front.link.execute(
                    "UPDATE mailproxy.report_heads SET log_id = gen_random_uuid()"
                )
                await report(queue, 1)
                for stream in (ahead, level):
                    refusal = await stream.refusal()
                    assert refusal.reason == "CURSOR_FOREIGN"
                    assert refusal.metadata["common_offset"] == "2"
        async with front.first.stream(cursor=refusal.metadata["common_cursor"]) as stream:
            (again,) = await stream.until(1)
    assert again.offset == 3
    assert again.report_id not in {one.report_id for one in reports}


async def test_a_stream_goes_on_in_a_new_log_that_has_all_of_it(front: Front) -> None:
    async with queue_of(front, front.first) as queue, front.first.stream() as stream:
        await report(queue, 2)
        await stream.until(2)
        await front.link.execute("UPDATE mailproxy.report_heads SET log_id = gen_random_uuid()")
        await report(queue, 2)
        assert [one.offset for one in await stream.until(4)] == [1, 2, 3, 4]


PAST_ALL_YEARS = base64.urlsafe_b64encode(struct.pack(">B16sIQ", 1, bytes(16), 2**32 - 1, 1))
GARBAGE = ["", "x", "not a cursor", "A" * 39, "A" * 40, "é" * 40, "A" * 10_000, "====", "\0"]


@pytest.mark.parametrize("cursor", [*GARBAGE, PAST_ALL_YEARS.decode()])
async def test_garbage_is_no_cursor(front: Front, cursor: str) -> None:
    refusal = await resume(front, cursor)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", ("cursor",))


async def test_a_cursor_older_than_what_is_kept_has_expired(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await report(queue, 5)
        async with front.first.stream() as stream:
            reports = await stream.until(5)
        await front.link.execute("DELETE FROM mailproxy.report_log WHERE log_offset <= 3")
        refusal = await resume(front, reports[1].cursor)
        assert refusal.code is grpc.StatusCode.OUT_OF_RANGE
        assert refusal.reason == "CURSOR_EXPIRED"
        assert refusal.metadata == {"first_offset": "4"}
        async with front.first.stream(cursor=reports[2].cursor) as stream:
            assert [one.offset for one in await stream.until(2)] == [4, 5]
        async with front.first.stream(earliest=True) as stream:
            assert [one.offset for one in await stream.until(2)] == [4, 5]


async def test_when_all_has_aged_out_only_the_end_goes_on(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await report(queue, 2)
        async with front.first.stream() as stream:
            first, second = await stream.until(2)
        await front.link.execute("DELETE FROM mailproxy.report_log")
        assert (await resume(front, first.cursor)).reason == "CURSOR_EXPIRED"
        async with front.first.stream(cursor=second.cursor) as stream:
            assert (await stream.next()).head_offset == 2
            await report(queue)
            assert [one.offset for one in await stream.until(1)] == [3]
