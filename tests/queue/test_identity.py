"""A session that finds another database than was noted begins new logs, once, before it is used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
from mailproxy_server.queue import hot, read
from mailproxy_server.queue.identity import LOCK, Change, Check
from mailproxy_server.queue.lineage import Head
from mailproxy_server.queue.sessions import Sessions
from mailproxy_server.queue.unavailable import CannotConnect

from tests.support.postgres import Cluster
from tests.support.queue import Queue

OTHER = "UPDATE mailproxy.database_identity SET "
"""What is noted is made another than what is: as if this were the restored one."""


async def meet(url: str, told: list[Change] | None = None, lock: str = LOCK) -> None:
    """Make one session, and end it."""
    check = Check(changed=(told if told is not None else []).append, lock=lock)
    await (await Sessions(url, check=check).connect()).close()


async def head_of(mail_queue: Queue) -> Head:
    async with hot.connection(mail_queue.pool) as link:
        return await read.head(link, mail_queue.tenant_id)


async def send(mail_queue: Queue, count: int) -> None:
    await mail_queue.submit_many(count)
    assert await mail_queue.settle(await mail_queue.claim(count)) == count


async def test_the_same_database_begins_nothing(mail_queue: Queue) -> None:
    await meet(mail_queue.url)  # a database made from a template is another one
    before, told = await head_of(mail_queue), list[Change]()
    for _ in range(3):
        await meet(mail_queue.url, told)
    assert (await head_of(mail_queue), told) == (before, [])


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ("system_identifier = 7", "system_identifier"),
        ("timeline = '0000BEEF'", "timeline"),
        ("database_oid = 7", "database_oid"),
        ("table_oid = 7", "table_oid"),
    ],
)
async def test_another_database_begins_a_new_log_and_notes_where_the_old_one_ended(
    mail_queue: Queue, other: str, name: str
) -> None:
    await meet(mail_queue.url)
    await send(mail_queue, 3)
    before, told = await head_of(mail_queue), list[Change]()
    await mail_queue.pool.execute(OTHER + other)
    await mail_queue.pool.execute("UPDATE mailproxy.report_heads SET timeline = NULL")
    await meet(mail_queue.url, told)
    await meet(mail_queue.url, told)
    after = await head_of(mail_queue)
    assert told == [Change((name,), 1)]
    assert after.log_id != before.log_id
    assert (after.last_offset, after.last_at) == (before.last_offset, before.last_at)
    assert [(one.log_id, one.last_offset) for one in after.ended][-1:] == [(before.log_id, 3)]


async def test_a_lost_note_begins_new_logs(mail_queue: Queue) -> None:
    before, told = await head_of(mail_queue), list[Change]()
    await mail_queue.pool.execute("DELETE FROM mailproxy.database_identity")
    await meet(mail_queue.url, told)
    assert told == [Change(("note",), 1)]
    assert (await head_of(mail_queue)).log_id != before.log_id


async def _at_once(mail_queue: Queue, lock: str) -> tuple[int, int]:
    """Have six sessions find another database while the heads are locked; give how many noted it,
    and how many logs ended."""
    await meet(mail_queue.url)
    ended = len((await head_of(mail_queue)).ended)
    await mail_queue.pool.execute(OTHER + "system_identifier = 7")
    told: list[Change] = []
    async with mail_queue.pool.acquire() as holder:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT 1 FROM mailproxy.report_heads FOR UPDATE")
        meeting = [asyncio.create_task(meet(mail_queue.url, told, lock)) for _ in range(6)]
        async with asyncio.timeout(20):
            while (
                await mail_queue.pool.fetchval(
                    """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                   AND datname = current_database()"""
                )
                != 6
            ):
                await asyncio.sleep(0.01)
        await transaction.rollback()
    await asyncio.gather(*meeting)
    return len(told), len((await head_of(mail_queue)).ended) - ended


async def test_of_those_that_find_it_at_once_the_first_alone_begins_new_logs(
    mail_queue: Queue,
) -> None:
    assert await _at_once(mail_queue, LOCK) == (1, 1)


async def test_control_without_the_lock_each_begins_logs(mail_queue: Queue) -> None:
    noted, ended = await _at_once(mail_queue, "SELECT 1")
    assert noted == ended == 6


async def test_a_head_that_is_written_on_another_timeline_begins_a_new_log(
    mail_queue: Queue,
) -> None:
    await send(mail_queue, 2)
    before = await head_of(mail_queue)
    await mail_queue.pool.execute("UPDATE mailproxy.report_heads SET timeline = '0000BEEF'")
    # That has begun one already: what was noted before it is what the head has now.
    assert (await head_of(mail_queue)) == before
    await send(mail_queue, 2)  # by sessions that have noticed nothing, as through PgBouncer
    await send(mail_queue, 2)
    after = await head_of(mail_queue)
    assert after.log_id != before.log_id
    assert [(one.log_id, one.last_offset) for one in after.ended] == [(before.log_id, 2)]
    assert [one.log_offset for one in await mail_queue.reports()] == [1, 2, 3, 4, 5, 6]
    assert {after.log_of(n) for n in (1, 2)} == {before.log_id}


async def test_control_without_the_trigger_such_a_head_keeps_its_log(mail_queue: Queue) -> None:
    await send(mail_queue, 2)
    before = await head_of(mail_queue)
    await mail_queue.pool.execute("DROP TRIGGER begin_log ON mailproxy.report_heads")
    await mail_queue.pool.execute("UPDATE mailproxy.report_heads SET timeline = '0000BEEF'")
    await send(mail_queue, 2)
    assert (await head_of(mail_queue)).log_id == before.log_id


async def test_a_log_that_the_trigger_has_begun_is_not_begun_again(mail_queue: Queue) -> None:
    await meet(mail_queue.url)
    await send(mail_queue, 1)
    before, told = await head_of(mail_queue), list[Change]()
    await mail_queue.pool.execute(OTHER + "timeline = '0000BEEF'")
    await meet(mail_queue.url, told)  # its head was written on this timeline
    assert told == [Change(("timeline",), 0)]
    assert await head_of(mail_queue) == before


async def test_a_database_without_a_schema_or_with_an_older_one_is_let_be(
    postgres: Cluster,
) -> None:
    url = await asyncio.to_thread(postgres.make_database, migrated=False)
    told: list[Change] = []
    await meet(url, told)
    link = await asyncpg.connect(url)
    await link.execute("CREATE SCHEMA mailproxy")
    await meet(url, told)
    await link.close()
    await asyncio.to_thread(postgres.drop_database, url)
    assert told == []


@asynccontextmanager
async def plain_role(mail_queue: Queue, *, may: bool) -> AsyncIterator[str]:
    """Give the URL of a role that is no superuser and may not read everything."""
    role = f"plain_{uuid4().hex[:8]}"
    run = mail_queue.pool.execute
    await run(f"CREATE ROLE {role} LOGIN")
    try:
        await run(f"GRANT USAGE ON SCHEMA mailproxy TO {role}")
        await run(f"GRANT ALL ON ALL TABLES IN SCHEMA mailproxy TO {role}")
        if not may:
            await run("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        yield mail_queue.url.replace("//mailproxy@", f"//{role}@")
    finally:
        await run("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
        await run(f"DROP OWNED BY {role}")
        await run(f"DROP ROLE {role}")


@pytest.mark.parametrize("may", [True, False])
async def test_a_plain_role_goes_by_what_it_may_read(mail_queue: Queue, may: bool) -> None:
    await meet(mail_queue.url)
    told, unreadable = list[Change](), list[frozenset[str]]()
    async with plain_role(mail_queue, may=may) as url:
        check = Check(changed=told.append, unreadable=unreadable.append)
        for other in ("system_identifier = 7", "timeline = '0000BEEF'"):
            await mail_queue.pool.execute(OTHER + other)
            for _ in range(2):
                await (await Sessions(url, check=check).connect()).close()
    assert unreadable == ([] if may else [frozenset({"system_identifier"})])
    assert [change.what for change in told] == [("system_identifier",)] * may + [("timeline",)]


async def test_a_read_only_server_is_read_after_a_promotion_and_refused_after_a_restore(
    mail_queue: Queue,
) -> None:
    await meet(mail_queue.url)
    before = await head_of(mail_queue)
    name = mail_queue.url.split("?")[0].rsplit("/", 1)[1]
    await mail_queue.pool.execute(OTHER + "timeline = '0000BEEF'")
    await mail_queue.pool.execute(
        f"ALTER DATABASE \"{name}\" SET default_transaction_read_only = 'on'"
    )
    told: list[Change] = []
    await meet(mail_queue.url, told)
    await mail_queue.pool.execute(OTHER + "system_identifier = 7")
    with pytest.raises(CannotConnect, match="read-only"):
        await meet(mail_queue.url, told)
    assert (await head_of(mail_queue), told) == (before, [])
    await mail_queue.pool.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    await meet(mail_queue.url, told)
    assert [change.what for change in told] == [("system_identifier", "timeline")]


async def test_a_server_whose_commits_wait_for_no_standby_is_refused_where_that_is_asked_for(
    mail_queue: Queue,
) -> None:
    sessions = Sessions(mail_queue.url, check=Check(synchronous=True))
    with pytest.raises(CannotConnect, match="synchronous_standby_names is empty"):
        await sessions.connect()
    await (await Sessions(mail_queue.url, check=Check(synchronous=False)).connect()).close()
