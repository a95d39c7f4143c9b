"""The schema: applied once, whoever starts together, and complete."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import asyncpg
from alembic.script import ScriptDirectory
from mailproxy_server.queue import days, heads, migrations, read
from mailproxy_server.queue.migrations import newest, upgrade

from tests.support.postgres import Cluster
from tests.support.queue import Queue


async def test_two_replicas_that_start_together_migrate_once(postgres: Cluster) -> None:
    url = await asyncio.to_thread(postgres.make_database, migrated=False)
    await asyncio.gather(upgrade(url), upgrade(url), upgrade(url))
    link = await asyncpg.connect(url)
    assert await link.fetchval("SELECT count(*) FROM mailproxy.alembic_version") == 1
    await link.close()
    await asyncio.to_thread(postgres.drop_database, url)


def test_the_newest_is_the_one_head_of_the_history() -> None:
    (folder,) = migrations.__path__
    assert ScriptDirectory(folder).get_heads() == [newest()]


def test_a_start_that_finds_the_newest_loads_nothing_to_change_it(database_url: str) -> None:
    program = (
        "import asyncio, sys; from mailproxy_server.app.database import upgrade;"
        "from mailproxy_server.settings import Settings;"
        "asyncio.run(upgrade(Settings(), sys.argv[1]));"
        "print({'sqlalchemy', 'alembic'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, database_url], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


async def test_a_tenant_comes_with_the_head_of_its_log(mail_queue: Queue) -> None:
    heads = await mail_queue.pool.fetch("SELECT tenant_id, last_offset FROM mailproxy.report_heads")
    assert [tuple(row) for row in heads] == [(mail_queue.tenant_id, 0)]


async def test_a_new_log_keeps_its_offsets_and_changes_its_name(mail_queue: Queue) -> None:
    await mail_queue.submit_many(1)
    await mail_queue.settle(await mail_queue.claim())
    async with mail_queue.pool.acquire() as link:
        before = await read.head(link, mail_queue.tenant_id)
        assert await heads.renew(link) == 1
        after = await read.head(link, mail_queue.tenant_id)
    assert (after.last_offset, after.last_at) == (before.last_offset, before.last_at)
    assert after.log_id != before.log_id


async def test_days_are_made_ahead_once_by_whoever_comes_first(mail_queue: Queue) -> None:
    far = datetime.now(UTC).date() + timedelta(days=100)

    async def make() -> int:
        async with mail_queue.pool.acquire() as link:
            return len(await days.ensure(link, far))

    assert sum(await asyncio.gather(make(), make(), make())) == days.AHEAD + 2


async def test_making_a_day_waits_for_no_reader_and_holds_none_up(mail_queue: Queue) -> None:
    far = datetime.now(UTC).date() + timedelta(days=200)
    async with mail_queue.pool.acquire() as reader, reader.transaction():
        await reader.fetchval("SELECT count(*) FROM mailproxy.report_log")
        async with asyncio.timeout(10), mail_queue.pool.acquire() as link:
            assert await days.ensure(link, far)


async def test_the_views_tell_states_and_sends(mail_queue: Queue) -> None:
    taken = await mail_queue.submit(mail_queue.message(["a@b.test", "c@b.test"]))
    first, _ = await mail_queue.claim()
    await mail_queue.settle([first])
    row = await mail_queue.pool.fetchrow(
        "SELECT queued, sending, sent, failed FROM mailproxy.v_messages WHERE message_id = $1",
        taken.message_id,
    )
    assert row is not None
    assert tuple(row) == (0, 1, 1, 0)
    sends = await mail_queue.pool.fetch("SELECT recipient, event FROM mailproxy.v_sends")
    assert [tuple(send) for send in sends] == [("a@b.test", "sent")]
