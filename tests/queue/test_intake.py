"""Submitting: durable, idempotent, all or nothing a message, whatever comes at once."""

import asyncio
from dataclasses import replace

import pytest
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue.enqueue import Accepted, Known
from mailproxy_server.queue.intake import Intake

from tests.support.queue import Queue, add_tenant, until_one_waits


async def test_a_message_makes_one_delivery_per_recipient(mail_queue: Queue) -> None:
    taken = await mail_queue.submit(mail_queue.message(["a@b.test", "c@b.test"]))
    rows = await mail_queue.claim()
    assert [(row.message_id, row.recipient_no, row.recipient) for row in rows] == [
        (taken.message_id, 0, "a@b.test"),
        (taken.message_id, 1, "c@b.test"),
    ]


async def test_one_request_id_a_hundred_times_at_once_is_one_message(mail_queue: Queue) -> None:
    messages = [mail_queue.message(request_id="order-17") for _ in range(100)]
    answers = await asyncio.gather(*map(mail_queue.intake.submit, messages))
    assert len({answer.message_id for answer in answers}) == 1
    assert sum(isinstance(answer, Accepted) for answer in answers) == 1
    assert await mail_queue.count("messages") == await mail_queue.count("deliveries") == 1


async def test_the_same_request_id_from_two_replicas_at_once_is_one_message(
    mail_queue: Queue,
) -> None:
    other = Intake(mail_queue.pool)
    ids = [f"r{number % 50}" for number in range(200)]
    answers = await asyncio.gather(
        *(mail_queue.intake.submit(mail_queue.message(request_id=one)) for one in ids),
        *(other.submit(mail_queue.message(request_id=one)) for one in reversed(ids)),
    )
    assert len({answer.message_id for answer in answers}) == 50
    assert await mail_queue.count("deliveries") == 50


async def test_a_known_request_id_gives_its_message_and_fingerprint(mail_queue: Queue) -> None:
    first = await mail_queue.submit(mail_queue.message(request_id="x", digests=b"one"))
    again = await mail_queue.intake.submit(mail_queue.message(request_id="x", digests=b"two"))
    assert again == Known(first.message_id, first.accepted_at, b"one")


async def test_two_tenants_may_use_the_same_request_id(mail_queue: Queue) -> None:
    stranger = await add_tenant(mail_queue.pool, "stranger")
    mine = mail_queue.message(request_id="same")
    theirs = replace(mail_queue.message(request_id="same"), tenant_id=stranger)
    answers = await mail_queue.intake.submit_all([mine, theirs])
    assert all(isinstance(answer, Accepted) for answer in answers)


async def test_one_bad_message_does_not_sink_its_batch(mail_queue: Queue) -> None:
    good = [mail_queue.message() for _ in range(3)]
    bad = replace(mail_queue.message(), priority=31)  # the table's CHECK refuses it
    answers = await mail_queue.intake.submit_all([good[0], bad, *good[1:]])
    assert [isinstance(answer, Accepted) for answer in answers] == [True, False, True, True]
    assert await mail_queue.count("messages") == 3


async def test_a_caller_that_leaves_before_its_batch_leaves_nothing(mail_queue: Queue) -> None:
    first = asyncio.create_task(mail_queue.intake.submit(mail_queue.message()))
    await asyncio.sleep(0)
    second = asyncio.create_task(mail_queue.intake.submit(mail_queue.message()))
    await asyncio.sleep(0)
    second.cancel()
    await first
    await mail_queue.intake.close()
    assert await mail_queue.count("messages") == 1


async def test_a_caller_that_leaves_a_running_batch_only_stops_waiting(mail_queue: Queue) -> None:
    blocker = await mail_queue.pool.acquire()
    locked = blocker.transaction()
    await locked.start()
    await blocker.execute("LOCK TABLE mailproxy.messages")
    task = asyncio.create_task(mail_queue.intake.submit(mail_queue.message()))
    await until_one_waits(mail_queue)
    task.cancel()
    await locked.rollback()
    await mail_queue.pool.release(blocker)
    await mail_queue.intake.close()
    assert await mail_queue.count("messages") == 1


async def test_a_database_that_ends_the_session_is_unavailable_to_all_in_the_batch(
    mail_queue: Queue,
) -> None:
    blocker = await mail_queue.pool.acquire()
    locked = blocker.transaction()
    await locked.start()
    await blocker.execute("LOCK TABLE mailproxy.messages")
    tasks = [asyncio.create_task(mail_queue.intake.submit(mail_queue.message())) for _ in range(3)]
    await until_one_waits(mail_queue)
    await blocker.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    )
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    await locked.rollback()
    await mail_queue.pool.release(blocker)
    for answer in answers:
        assert isinstance(answer, Unavailable)
        assert answer.reason == "DATABASE_UNAVAILABLE"


@pytest.mark.parametrize("recipients", [1, 499, 500, 501, 1000])
async def test_any_number_of_recipients_is_queued_whole(mail_queue: Queue, recipients: int) -> None:
    names = [f"u{number}@b.test" for number in range(recipients)]
    await asyncio.gather(
        mail_queue.submit(mail_queue.message(names)), mail_queue.submit(mail_queue.message())
    )
    assert await mail_queue.count("deliveries") == recipients + 1
