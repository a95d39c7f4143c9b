"""Withdrawing: nothing that was there slips through, whatever is done to it meanwhile."""

import asyncio
from uuid import UUID, uuid4

from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.queue import cancel, hot, settle
from mailproxy_server.queue.cancel import Withdrawn
from mailproxy_server.queue.chosen import Chosen, Found, walk
from mailproxy_server.queue.settle import Settlement

from tests.support.queue import Queue, until_one_waits

AGAIN = Outcome.deferred(Reason.RELAY_UNREACHABLE, 0.0)


async def found(queue: Queue, message_id: UUID) -> list[Found]:
    async with hot.connection(queue.pool) as link:
        chosen = Chosen(message_ids=[message_id])
        return [one async for some in walk(link, queue.tenant_id, chosen) for one in some]


async def withdraw(queue: Queue, chosen: list[Found], sql: str = cancel.WITHDRAW) -> Withdrawn:
    async with hot.connection(queue.pool) as link:
        return await cancel.withdraw(link, queue.tenant_id, chosen, uuid4(), sql)


async def test_queued_ones_are_seized_and_claimed_ones_asked(mail_queue: Queue) -> None:
    taken = await mail_queue.submit(mail_queue.message(["a@b.test", "b@b.test"]))
    await mail_queue.claim(1)
    withdrawn = await withdraw(mail_queue, await found(mail_queue, taken.message_id))
    (seized,), (asked,) = withdrawn.seized, withdrawn.under_way
    assert (seized.recipient, seized.claim_no, seized.cancel_requested) == ("b@b.test", 1, True)
    assert (asked.recipient, asked.claim_no, asked.cancel_requested) == ("a@b.test", 1, True)
    assert await mail_queue.claim() == []


async def test_the_claim_of_before_settles_nothing_more(mail_queue: Queue) -> None:
    taken = await mail_queue.submit(mail_queue.message())
    rows = await mail_queue.claim()
    await mail_queue.settle(rows, AGAIN)
    await withdraw(mail_queue, await found(mail_queue, taken.message_id))
    assert await mail_queue.settle(rows) == 0


async def test_what_comes_back_just_then_is_seized(mail_queue: Queue) -> None:
    withdrawn = await _while_it_is_settled(mail_queue, cancel.WITHDRAW)
    assert (len(withdrawn.seized), len(withdrawn.under_way)) == (1, 0)


async def test_control_without_waiting_it_slips_through(mail_queue: Queue) -> None:
    sql = cancel.statement("FOR UPDATE OF d SKIP LOCKED")
    withdrawn = await _while_it_is_settled(mail_queue, sql)
    assert (len(withdrawn.seized), len(withdrawn.under_way)) == (0, 0)
    (row,) = await mail_queue.claim()
    assert not row.cancel_requested


async def _while_it_is_settled(mail_queue: Queue, sql: str) -> Withdrawn:
    """Withdraw a claimed delivery while a settlement, which puts it back, is not committed."""
    taken = await mail_queue.submit(mail_queue.message())
    (row,) = await mail_queue.claim()
    chosen = await found(mail_queue, taken.message_id)
    async with hot.connection(mail_queue.pool) as link:
        transaction = link.transaction()
        await transaction.start()
        await settle.settle(link, mail_queue.worker_id, [Settlement(row, AGAIN)])
        withdrawing = asyncio.create_task(withdraw(mail_queue, chosen, sql))
        if sql == cancel.WITHDRAW:
            await until_one_waits(mail_queue)
        else:
            await withdrawing
        await transaction.commit()
    return await withdrawing


async def test_what_came_back_withdrawn_is_found_by_who_looks_for_it(mail_queue: Queue) -> None:
    taken = await mail_queue.submit(mail_queue.message())
    await mail_queue.submit_many(3)
    rows = await mail_queue.claim(1)
    await withdraw(mail_queue, await found(mail_queue, taken.message_id))
    async with hot.connection(mail_queue.pool) as link:
        assert await cancel.seize_requested(link, uuid4(), 10) == []
        await mail_queue.settle(rows, AGAIN)
        (back,) = await cancel.seize_requested(link, uuid4(), 10)
    assert (back.message_id, back.claim_no) == (taken.message_id, 2)


async def test_two_that_withdraw_the_same_seize_each_delivery_once(mail_queue: Queue) -> None:
    recipients = [f"r{number}@b.test" for number in range(50)]
    taken = await mail_queue.submit(mail_queue.message(recipients))
    chosen = await found(mail_queue, taken.message_id)
    done = await asyncio.gather(*(withdraw(mail_queue, chosen) for _ in range(5)))
    assert sorted(len(each.seized) for each in done) == [0, 0, 0, 0, 50]
    assert [len(each.seized) + len(each.under_way) for each in done] == [50] * 5
