"""A new round: what has failed comes back once, and nothing that has not."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.queue import hot, requeue, settle
from mailproxy_server.queue.ids import born
from mailproxy_server.queue.settle import Settlement

from tests.support.queue import Queue, until_one_waits

FAILED = Outcome.failed(Reason.RECIPIENT_REFUSED)
UNSURE = Outcome.deferred(Reason.OUTCOME_UNKNOWN, 0.0, possible_duplicate=True)


async def again(queue: Queue, message_id: UUID, lock_head: str = requeue.LOCK_HEAD) -> list[str]:
    since = born(message_id) - timedelta(days=1)
    async with hot.connection(queue.pool) as link:
        return await requeue.requeue(
            link, queue.tenant_id, message_id, since, (), None, lock_head=lock_head
        )


@pytest.fixture
async def message_id(mail_queue: Queue) -> UUID:
    for account_id in ("demo", "fallback"):
        await mail_queue.pool.execute(
            """INSERT INTO mailproxy.accounts (tenant_id, account_id, host, port, tls,
                 tls_insecure_skip_verify, tls_ca_certificates, username, ehlo_name,
                 max_connections, max_recipients_per_transaction, max_messages_per_connection,
                 idle_ttl_seconds, pipelining, is_default)
               VALUES ($1, $2, 'h', 25, 'none', false, '', '', '', 1, 1, 1, 1, true, false)""",
            mail_queue.tenant_id,
            account_id,
        )
    return (await mail_queue.submit(mail_queue.message())).message_id


async def test_what_is_queued_or_claimed_is_left_alone(mail_queue: Queue, message_id: UUID) -> None:
    assert await again(mail_queue, message_id) == []
    rows = await mail_queue.claim()
    assert await again(mail_queue, message_id) == []
    await mail_queue.settle(rows, Outcome.deferred(Reason.THROTTLED, 0.0))
    assert await again(mail_queue, message_id) == []
    assert await mail_queue.count("deliveries") == 1


async def test_a_failure_that_is_being_written_is_waited_for(
    mail_queue: Queue, message_id: UUID
) -> None:
    assert await _while_it_fails(mail_queue, message_id, requeue.LOCK_HEAD) == ["demo"]
    assert [report.log_offset for report in await mail_queue.reports()] == [1, 2]
    assert len(await mail_queue.claim()) == 1


async def test_control_without_the_head_it_is_not_seen(mail_queue: Queue, message_id: UUID) -> None:
    assert await _while_it_fails(mail_queue, message_id, "SELECT $1::uuid") == []


async def _while_it_fails(mail_queue: Queue, message_id: UUID, lock_head: str) -> list[str]:
    """Bring back what fails in a settlement that is not committed yet."""
    (row,) = await mail_queue.claim()
    async with hot.connection(mail_queue.pool) as link:
        transaction = link.transaction()
        await transaction.start()
        await settle.settle(link, mail_queue.worker_id, [Settlement(row, FAILED)])
        bringing = asyncio.create_task(again(mail_queue, message_id, lock_head))
        if lock_head == requeue.LOCK_HEAD:
            await until_one_waits(mail_queue)
        else:
            await bringing
        await transaction.commit()
    return await bringing


async def test_rounds_and_settles_side_by_side_double_nothing(
    mail_queue: Queue, message_id: UUID
) -> None:
    rounds: list[str] = []

    async def fail() -> None:
        while len(rounds) < 20:
            if rows := await mail_queue.claim():
                await mail_queue.settle(rows, FAILED)

    async def bring_back() -> None:
        while len(rounds) < 20:
            rounds.extend(await again(mail_queue, message_id))

    async with asyncio.timeout(60):
        await asyncio.gather(fail(), bring_back(), bring_back(), bring_back())
    events = [report.event for report in await mail_queue.reports()]
    assert events == [3, 7] * (len(events) // 2) + [3] * (len(events) % 2)
    assert events.count(7) == len(rounds)
    offsets = [report.log_offset for report in await mail_queue.reports()]
    assert offsets == list(range(1, len(offsets) + 1))


async def test_claims_go_on_and_attempts_begin_anew(mail_queue: Queue, message_id: UUID) -> None:
    for _ in range(3):
        await mail_queue.settle(await mail_queue.claim(), Outcome.deferred(Reason.THROTTLED, 0.0))
    await mail_queue.settle(await mail_queue.claim(), FAILED)
    await again(mail_queue, message_id)
    (row,) = await mail_queue.claim()
    assert (row.attempts, row.claim_no, row.doubtful) == (0, 5, False)


async def test_what_may_have_arrived_goes_by_the_same_account_again(
    mail_queue: Queue, message_id: UUID
) -> None:
    await mail_queue.pool.execute("UPDATE mailproxy.deliveries SET account_id = 'fallback'")
    mail_queue.account_id = "fallback"
    await mail_queue.settle(await mail_queue.claim(), UNSURE)
    await mail_queue.settle(await mail_queue.claim(), FAILED)
    assert await again(mail_queue, message_id) == ["fallback"]
    (row,) = await mail_queue.claim()
    assert row.doubtful


async def test_what_surely_did_not_goes_by_its_own(mail_queue: Queue, message_id: UUID) -> None:
    await mail_queue.pool.execute("UPDATE mailproxy.deliveries SET account_id = 'fallback'")
    mail_queue.account_id = "fallback"
    await mail_queue.settle(await mail_queue.claim(), FAILED)
    assert await again(mail_queue, message_id) == ["demo"]


async def test_without_its_account_or_its_content_nothing_changes(
    mail_queue: Queue, message_id: UUID
) -> None:
    await mail_queue.settle(await mail_queue.claim(), FAILED)
    await mail_queue.pool.execute("UPDATE mailproxy.accounts SET deleted_at = now()")
    with pytest.raises(requeue.AccountGone, match="demo"):
        await again(mail_queue, message_id)
    await mail_queue.pool.execute("UPDATE mailproxy.messages SET content = ''")
    with pytest.raises(requeue.ContentGone):
        await again(mail_queue, message_id)
    assert await mail_queue.count("deliveries") == 0
    assert len(await mail_queue.reports()) == 1
