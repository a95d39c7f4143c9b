"""Breakers and throttles in the database: one step, however many replicas make it."""

import asyncio
from typing import Any

import pytest
from mailproxy_server.mail.delivery import Event, Reason
from mailproxy_server.mail.transcript import Reply
from mailproxy_server.queue import health, hot, settle
from mailproxy_server.queue.settle import Settlement

from tests.support.health import (
    AWAY,
    REFUSED,
    REPLICAS,
    USED_UP,
    ask,
    by_all,
    closing,
    fares,
    logged,
    opening,
    sooner,
)
from tests.support.queue import SENT, Queue, add_tenant, until_one_waits


async def test_an_account_that_nobody_complained_of_is_well(mail_queue: Queue) -> None:
    found = await fares(mail_queue)
    assert (found.kind, found.reply, found.connections, found.gap_seconds) == (None,) * 3 + (0,)
    assert (found.generation, found.probes) == (0, 0)


async def test_accounts_are_read_in_the_order_they_are_asked_for(mail_queue: Queue) -> None:
    await ask(mail_queue, opening(mail_queue))
    names = ["z", "demo", "a"]
    found = await ask(mail_queue, lambda link: health.read(link, mail_queue.tenant_id, names))
    assert [(each.account_id, each.kind) for each in found] == [
        ("z", None),
        ("demo", "fault"),
        ("a", None),
    ]


async def test_an_open_breaker_says_why_and_when_it_is_tried(mail_queue: Queue) -> None:
    assert await ask(mail_queue, opening(mail_queue, REFUSED, revision=7))
    found = await fares(mail_queue)
    assert (found.kind, found.reason, found.reply_stage) == ("auth", Reason.RELAY_AUTH, "AUTH")
    assert found.reply == Reply(535, "5.7.8", "bad\N{REPLACEMENT CHARACTER}credentials")
    assert found.account_revision == 7
    assert found.opened_at
    assert found.probe_at
    assert (found.probe_at - found.opened_at).total_seconds() == 30


async def test_an_opened_and_a_closed_breaker_are_told_of_in_the_tenants_log(
    mail_queue: Queue,
) -> None:
    await ask(mail_queue, opening(mail_queue))
    await ask(mail_queue, closing(mail_queue))
    opened, closed = await mail_queue.reports()
    assert (opened.event, closed.event) == (Event.BREAKER_OPENED, Event.BREAKER_CLOSED)
    for report in (opened, closed):
        assert (report.message_id.int, report.recipient, report.account_id) == (0, "", "demo")
        assert (report.reason, report.detail) == (Reason.RELAY_UNREACHABLE, "refused")


async def test_replicas_that_open_it_together_open_it_once(mail_queue: Queue) -> None:
    assert sum(await by_all(mail_queue, opening(mail_queue))) == 1
    assert await logged(mail_queue) == [(1, Event.BREAKER_OPENED)]


async def test_control_without_the_condition_each_of_them_opens_it(mail_queue: Queue) -> None:
    heedless = health.opening(once="h.breaker IS NOT NULL")
    assert sum(await by_all(mail_queue, opening(mail_queue, sql=heedless))) == REPLICAS
    assert len(await logged(mail_queue)) == REPLICAS


async def test_replicas_that_close_it_together_close_it_once(mail_queue: Queue) -> None:
    await ask(mail_queue, opening(mail_queue))
    assert sum(await by_all(mail_queue, closing(mail_queue))) == 1
    assert await logged(mail_queue) == [(1, Event.BREAKER_OPENED), (2, Event.BREAKER_CLOSED)]
    found = await fares(mail_queue)
    assert (found.kind, found.reason, found.probe_at, found.probes) == (None, None, None, 0)


async def test_the_generation_rises_each_time_it_closes(mail_queue: Queue) -> None:
    seen = []
    for _ in range(3):
        await ask(mail_queue, opening(mail_queue))
        seen.append((await fares(mail_queue)).generation)
        await ask(mail_queue, closing(mail_queue))
        await ask(mail_queue, closing(mail_queue))  # changes nothing
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(("revision", "closes"), [(6, False), (7, False), (8, True), (None, True)])
async def test_a_newer_revision_of_the_account_closes_it_and_an_older_one_does_not(
    mail_queue: Queue, revision: int | None, closes: bool
) -> None:
    await ask(mail_queue, opening(mail_queue, revision=7))
    assert await ask(mail_queue, closing(mail_queue, revision)) is closes


async def test_a_graver_cause_takes_the_place_of_faults_without_a_report(mail_queue: Queue) -> None:
    key = mail_queue.tenant_id, mail_queue.account_id
    await ask(mail_queue, opening(mail_queue))
    since = (await fares(mail_queue)).opened_at
    assert await ask(mail_queue, lambda link: health.accuse(link, *key, REFUSED, 900.0))
    assert not await ask(mail_queue, lambda link: health.accuse(link, *key, USED_UP, 600.0))
    found = await fares(mail_queue)
    assert (found.kind, found.opened_at, found.detail) == ("auth", since, None)
    assert await logged(mail_queue) == [(1, Event.BREAKER_OPENED)]


async def test_a_closed_breaker_cannot_be_accused(mail_queue: Queue) -> None:
    key = mail_queue.tenant_id, mail_queue.account_id
    assert not await ask(mail_queue, lambda link: health.accuse(link, *key, REFUSED, 900.0))


async def _open_beside_a_settle(mail_queue: Queue, sql: str) -> list[int]:
    """A settle has its offset and is not committed: which one does an opening breaker get?"""
    await mail_queue.submit_many(1)
    (row,) = await mail_queue.claim()
    async with hot.connection(mail_queue.pool) as link, link.transaction():
        await settle.settle(link, mail_queue.worker_id, [Settlement(row, SENT)])
        task = asyncio.create_task(ask(mail_queue, opening(mail_queue, sql=sql)))
        if sql == health.OPEN:
            await until_one_waits(mail_queue)
        else:
            await task
    await task
    return sorted(offset for offset, _ in await logged(mail_queue))


async def test_it_waits_for_the_log_and_leaves_no_gap(mail_queue: Queue) -> None:
    assert await _open_beside_a_settle(mail_queue, health.OPEN) == [1, 2]


async def test_control_without_the_lock_an_offset_is_given_twice(mail_queue: Queue) -> None:
    begin = health.OPEN.index("raised AS (")
    end = health.OPEN.index("INSERT INTO mailproxy.report_log")
    unlocked = (
        health.OPEN[:begin].replace("FOR NO KEY UPDATE", "")
        + """raised AS (SELECT tenant_id, last_offset AS base,
                clock_timestamp() AS last_at FROM mailproxy.report_heads)\n"""
        + health.OPEN[end:]
    )
    assert await _open_beside_a_settle(mail_queue, unlocked) == [1, 1]


async def test_offsets_have_no_gap_while_breakers_change_beside_settles(mail_queue: Queue) -> None:
    await mail_queue.submit_many(40)
    rows = await mail_queue.claim()

    async def flap(account_id: str) -> None:
        for _ in range(5):
            async with hot.connection(mail_queue.pool) as link:
                key = mail_queue.tenant_id, account_id
                assert await health.open_breaker(link, *key, AWAY, 30.0, 1)
                assert await health.close_breaker(link, *key)

    settles = [mail_queue.settle(rows[start::10]) for start in range(10)]
    await asyncio.gather(*settles, *(flap(f"a{number}") for number in range(4)))
    reports = await mail_queue.reports()
    assert [report.log_offset for report in reports] == list(range(1, 81))
    times = [report.reported_at for report in reports]
    assert times == sorted(times)


async def test_tenants_do_not_see_each_others_breakers(mail_queue: Queue) -> None:
    other = await add_tenant(mail_queue.pool, "other")
    await ask(mail_queue, opening(mail_queue))
    (found,) = await ask(mail_queue, lambda link: health.read(link, other, ["demo"]))
    assert found.kind is None
    assert not await ask(mail_queue, lambda link: health.close_breaker(link, other, "demo"))
    assert (await fares(mail_queue)).kind == "fault"


async def _slow_down(mail_queue: Queue, quiet: float) -> int | None:
    """Each replica reads the throttle and halves it, one after another."""
    key = mail_queue.tenant_id, mail_queue.account_id
    for _ in range(3):
        found = await fares(mail_queue)
        before, half = (found.connections, found.gap_seconds), (found.connections or 16) // 2
        async with hot.connection(mail_queue.pool) as link:
            await health.set_throttle(link, *key, before, (half, 0.0), quiet)
    return (await fares(mail_queue)).connections


async def test_replicas_that_are_refused_together_make_one_step(mail_queue: Queue) -> None:
    assert await _slow_down(mail_queue, 5.0) == 8
    await sooner(mail_queue, 5)
    assert await _slow_down(mail_queue, 5.0) == 4


async def test_control_without_the_quiet_time_each_makes_a_step(mail_queue: Queue) -> None:
    assert await _slow_down(mail_queue, 0.0) == 2


async def test_replicas_that_read_the_same_throttle_change_it_once(mail_queue: Queue) -> None:
    key = mail_queue.tenant_id, mail_queue.account_id
    for before, after in (((None, 0.0), (5, 0.0)), ((5, 0.0), (1, 2.5)), ((1, 2.5), (None, 0.0))):

        def step(link: hot.Connection, before: Any = before, after: Any = after) -> Any:
            return health.set_throttle(link, *key, before, after, 0.0)

        assert sum(await by_all(mail_queue, step)) == 1
        found = await fares(mail_queue)
        assert (found.connections, found.gap_seconds) == after


async def test_a_throttle_and_a_breaker_leave_each_other_alone(mail_queue: Queue) -> None:
    key = mail_queue.tenant_id, mail_queue.account_id
    await ask(mail_queue, lambda link: health.set_throttle(link, *key, (None, 0.0), (3, 0.0), 5.0))
    await ask(mail_queue, opening(mail_queue))
    await ask(mail_queue, closing(mail_queue))
    assert (await fares(mail_queue)).connections == 3
