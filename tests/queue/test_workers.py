"""Leases: who is alive, who is dead, and whose deliveries are nobody's."""

import os
from uuid import uuid4

from mailproxy_server.dispatcher.lease import pid_birth, process_is_gone, this_worker
from mailproxy_server.queue import claim, hot, workers

from tests.support.queue import Queue


async def test_a_heartbeat_that_came_meanwhile_saves_the_worker(mail_queue: Queue) -> None:
    worker = this_worker(uuid4())
    async with hot.connection(mail_queue.pool) as link:
        await workers.register(link, worker, 60)
        (seen,) = await workers.others(link, uuid4())
        assert (seen.worker, seen.lease_seconds) == (worker, 60)
        assert await workers.beat(link, worker.worker_id, 7, 1.5)
        assert not await workers.declare_dead(link, worker.worker_id, seen.beat_at)
        assert await workers.beat(link, worker.worker_id)


async def test_a_worker_is_declared_dead_once_and_beats_no_more(mail_queue: Queue) -> None:
    worker = this_worker(uuid4())
    async with hot.connection(mail_queue.pool) as link:
        await workers.register(link, worker, 60)
        (seen,) = await workers.others(link, uuid4())
        assert await workers.declare_dead(link, worker.worker_id, seen.beat_at)
        assert not await workers.declare_dead(link, worker.worker_id, seen.beat_at)
        assert not await workers.beat(link, worker.worker_id)


async def test_what_unknown_workers_hold_is_orphaned_and_what_living_ones_hold_is_not(
    mail_queue: Queue,
) -> None:
    alive = this_worker(uuid4())
    gone = [uuid4() for _ in range(3)]
    await mail_queue.submit_many(8)
    async with hot.connection(mail_queue.pool) as link:
        await workers.register(link, alive, 60)
        for worker_id in (*gone, alive.worker_id):
            await mail_queue.claim(2, worker_id=worker_id)
        assert sorted(await workers.orphaned(link)) == sorted(gone)


async def test_nothing_is_orphaned_in_an_empty_queue(mail_queue: Queue) -> None:
    async with hot.connection(mail_queue.pool) as link:
        assert await workers.orphaned(link) == []


async def test_a_worker_finds_what_it_holds_when_an_answer_was_lost(mail_queue: Queue) -> None:
    await mail_queue.submit_many(3)
    held = await mail_queue.claim(2)
    async with hot.connection(mail_queue.pool) as link:
        mine = await claim.mine(link, mail_queue.tenant_id, "demo", mail_queue.worker_id)
    assert {row.message_id for row in mine} == {row.message_id for row in held}


def test_this_process_is_not_gone_and_one_of_another_birth_is() -> None:
    me = this_worker(uuid4())
    assert not process_is_gone(me)
    reborn = workers.Worker(me.worker_id, me.host, me.birthplace, me.pid, me.pid_birth + 1)
    assert process_is_gone(reborn)
    elsewhere = workers.Worker(me.worker_id, me.host, "another boot", me.pid, me.pid_birth + 1)
    assert not process_is_gone(elsewhere)


def test_a_process_that_does_not_exist_has_no_birth() -> None:
    assert pid_birth(os.getpid()) is not None
    assert pid_birth(2**22 + 1) is None
