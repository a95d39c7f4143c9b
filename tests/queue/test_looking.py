"""What operators are shown of the whole queue: each statement runs, on every PostgreSQL."""

from datetime import timedelta

import asyncpg
from mailproxy_server.queue import checkup, gauges, hot, named
from mailproxy_server.queue.migrations import newest

from tests.support.queue import Queue


async def test_gauges_tell_depth_age_standing_and_hygiene(mail_queue: Queue) -> None:
    await mail_queue.submit_many(3)
    await mail_queue.submit_many(1, priority=10)
    async with hot.connection(mail_queue.pool) as link:
        reading = await gauges.read(link)
    found = {(each.account_id, each.priority): (each.count, each.due) for each in reading.depths}
    assert found == {("demo", 30): (3, 3), ("demo", 10): (1, 1)}
    assert all(each.tenant_name.startswith("tenant-") for each in reading.depths)
    assert all(each.oldest_seconds >= 0 for each in reading.depths)
    assert "deliveries" in reading.hygiene.dead
    assert (reading.hygiene.dispatchers, reading.hygiene.outbox) == (0, 0)


async def test_every_look_of_a_checkup_sees_something(mail_queue: Queue) -> None:
    await mail_queue.submit_many(2)
    await mail_queue.settle(await mail_queue.claim(1))
    await mail_queue.claim(1)
    async with hot.connection(mail_queue.pool) as link:
        assert await checkup.revision(link) == newest()
        assert abs(await checkup.skew(link)) < 5
        counts = await checkup.counts(link)
        assert (counts.pending, counts.due, counts.sent, counts.failed) == (1, 0, 1, 0)
        assert await checkup.dispatchers(link) == []
        assert [each.held for each in await checkup.stuck(link)] == [1]
        assert await checkup.broken(link) == []
        assert await checkup.waiting(link) == []
        assert await checkup.holders(link, 300) == []
        assert await checkup.refused_rows(link) == 0
        await checkup.write_probe(link)
        listener = await asyncpg.connect(mail_queue.url)
        assert await checkup.hears(listener, link, timedelta(seconds=5))
        await listener.close()


async def test_tenants_have_their_names(mail_queue: Queue) -> None:
    ((tenant_id, name),) = await named.all_tenants(mail_queue.pool)
    assert await named.tenants(mail_queue.pool, [tenant_id]) == {tenant_id: name}
