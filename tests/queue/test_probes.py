"""Probes of an open breaker: one replica's at a time, and no longer than it may take."""

from datetime import datetime

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.queue import probes

from tests.support.health import (
    AWAY,
    REFUSED,
    REPLICAS,
    USED_UP,
    ask,
    by_all,
    closing,
    fares,
    opening,
    sooner,
    taking,
)
from tests.support.queue import Queue


async def test_one_replica_gets_the_probe_when_it_is_time(mail_queue: Queue) -> None:
    await ask(mail_queue, opening(mail_queue))
    assert await by_all(mail_queue, taking(mail_queue)) == [None] * REPLICAS
    await sooner(mail_queue, 30)
    assert sum(got is not None for got in await by_all(mail_queue, taking(mail_queue))) == 1
    await sooner(mail_queue, 119)
    assert await ask(mail_queue, taking(mail_queue)) is None
    await sooner(mail_queue, 1)
    assert await ask(mail_queue, taking(mail_queue)), "whoever had it is gone"


async def test_control_without_the_time_all_of_them_probe(mail_queue: Queue) -> None:
    await ask(mail_queue, opening(mail_queue))
    heedless = probes.taking(free="probe_at IS NOT NULL")
    got = await by_all(mail_queue, taking(mail_queue, sql=heedless))
    assert None not in got


async def test_a_closed_breaker_has_no_probe(mail_queue: Queue) -> None:
    await ask(mail_queue, opening(mail_queue))
    await ask(mail_queue, closing(mail_queue))
    assert await ask(mail_queue, taking(mail_queue)) is None


async def _probe(mail_queue: Queue) -> datetime:
    await ask(mail_queue, opening(mail_queue, USED_UP))
    await sooner(mail_queue, 30)
    probe: datetime = await ask(mail_queue, taking(mail_queue))
    return probe


async def test_a_probe_that_failed_puts_the_next_one_off(mail_queue: Queue) -> None:
    key = mail_queue.tenant_id, mail_queue.account_id
    probe = await _probe(mail_queue)
    assert await ask(mail_queue, lambda link: probes.failed(link, *key, probe, None, 600.0))
    found = await fares(mail_queue)
    assert (found.kind, found.probes, found.reply) == ("quota", 1, USED_UP.reply)
    assert found.probe_at
    assert 599 < (found.probe_at - found.now).total_seconds() <= 600


async def test_a_probe_that_failed_otherwise_gives_the_breaker_another_cause(
    mail_queue: Queue,
) -> None:
    key = mail_queue.tenant_id, mail_queue.account_id
    probe = await _probe(mail_queue)
    assert await ask(mail_queue, lambda link: probes.failed(link, *key, probe, REFUSED, 900.0))
    found = await fares(mail_queue)
    assert (found.kind, found.reason, found.probes) == ("auth", Reason.RELAY_AUTH, 1)


async def test_a_probe_that_found_out_nothing_is_the_next_ones_at_once(mail_queue: Queue) -> None:
    key = mail_queue.tenant_id, mail_queue.account_id
    probe = await _probe(mail_queue)
    await ask(mail_queue, lambda link: probes.give_back(link, *key, probe))
    assert await ask(mail_queue, taking(mail_queue))
    assert (await fares(mail_queue)).probes == 0


async def test_who_held_a_probe_too_long_changes_nothing(mail_queue: Queue) -> None:
    key = mail_queue.tenant_id, mail_queue.account_id
    lost = await _probe(mail_queue)
    await sooner(mail_queue, 120)
    current = await ask(mail_queue, taking(mail_queue))
    assert not await ask(mail_queue, lambda link: probes.failed(link, *key, lost, AWAY, 1.0))
    assert not await ask(mail_queue, lambda link: probes.failed(link, *key, lost, None, 1.0))
    assert not await ask(mail_queue, lambda link: probes.renew(link, *key, lost, 1.0))
    await ask(mail_queue, lambda link: probes.give_back(link, *key, lost))
    found = await fares(mail_queue)
    assert (found.probe_at, found.probes, found.kind) == (current, 0, "quota")
    assert await ask(mail_queue, lambda link: probes.renew(link, *key, current, 120.0))
