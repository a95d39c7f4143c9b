"""The gate: when an account may send, and what opens and closes its breaker."""

from dataclasses import replace

import asyncpg
import pytest
from mailproxy_server.dispatcher.gate import Gate
from mailproxy_server.mail.delivery import Event
from mailproxy_server.policy.classify import Verdict
from mailproxy_server.queue import hot

from tests.support.gates import (
    AWAY,
    CUT,
    NO_USER,
    REFUSED,
    USED_UP,
    opened,
    replicas,
)
from tests.support.health import fares, logged
from tests.support.queue import Queue

OPENED, CLOSED = Event.BREAKER_OPENED, Event.BREAKER_CLOSED


@pytest.mark.parametrize(
    ("most", "share", "connections"), [(10, 1.0, 10), (10, 0.5, 5), (10, 0.34, 3), (1, 0.1, 1)]
)
async def test_an_account_that_is_well_may_use_its_share_of_connections(
    mail_queue: Queue, most: int, share: float, connections: int
) -> None:
    (one,) = replicas(mail_queue, 1, most)
    one.gate = Gate(share, 30.0)
    leave = await one.look()
    assert (leave.wait, leave.connections, leave.probe, leave.gap) == (0.0, connections, False, 0)


async def test_five_faults_in_a_row_shut_it_for_all_replicas_and_are_told_of_once(
    mail_queue: Queue,
) -> None:
    one, other = replicas(mail_queue, 2)
    assert await one.tell(*[AWAY] * 10)
    assert not await other.tell(*[AWAY] * 10), "it was open"
    for each in (one, other):
        leave = await each.look()
        assert 29 < leave.wait <= 30
        assert not leave.probe
    assert await logged(mail_queue) == [(1, OPENED)]


async def test_control_faults_with_a_sign_of_life_between_them_do_not(mail_queue: Queue) -> None:
    (one,) = replicas(mail_queue, 1)
    one.hear(*[AWAY] * 4, NO_USER, *[AWAY] * 4, *[CUT] * 10)
    assert not one.gate.pending
    assert (await one.look()).wait == 0


@pytest.mark.parametrize(("by", "seconds"), [(REFUSED, 900), (USED_UP, 600)])
async def test_a_refusal_of_the_account_shuts_it_at_once_and_for_long(
    mail_queue: Queue, by: Verdict, seconds: float
) -> None:
    (one,) = replicas(mail_queue, 1)
    one.gate = Gate(1.0, 3600.0)
    await opened(one, by)
    assert seconds - 1 < (await one.look()).wait <= seconds


async def test_it_looks_again_before_its_time_is_up_since_hints_may_be_lost(
    mail_queue: Queue,
) -> None:
    (one,) = replicas(mail_queue, 1)
    await opened(one, REFUSED)
    assert (await one.look()).wait == 30


async def test_what_faults_opened_may_turn_out_to_be_the_credentials(mail_queue: Queue) -> None:
    one, other = replicas(mail_queue, 2)
    await opened(one)
    assert await other.tell(REFUSED)
    assert (await fares(mail_queue)).kind == "auth"
    assert await logged(mail_queue) == [(1, OPENED)]


async def test_a_changed_account_opens_the_way_at_once_and_is_told_of(mail_queue: Queue) -> None:
    one, other = replicas(mail_queue, 2)
    await opened(one, REFUSED)
    one.changed()
    assert (await one.look()).wait == 0
    assert await one.tell(), "others have to be told"
    assert (await other.look()).wait == 0, "it does not know of the change yet"
    assert await logged(mail_queue) == [(1, OPENED), (2, CLOSED)]


async def test_control_a_replica_that_does_not_know_the_new_password_leaves_it_shut(
    mail_queue: Queue,
) -> None:
    one, late = replicas(mail_queue, 2)
    one.changed()
    await opened(one, REFUSED)
    assert (await late.look()).wait > 0
    assert (await one.look()).wait > 0


async def test_what_could_not_be_written_is_written_later(mail_queue: Queue) -> None:
    (one,) = replicas(mail_queue, 1)
    one.hear(REFUSED)
    lost = await asyncpg.connect(mail_queue.url)
    await lost.close()
    with pytest.raises(asyncpg.InterfaceError):
        await one.gate.tell(lost, one.account)
    assert await one.tell()
    assert (await one.look()).wait > 0


async def test_our_own_words_about_a_fault_are_kept(mail_queue: Queue) -> None:
    (one,) = replicas(mail_queue, 1)
    for _ in range(5):
        one.gate.hear([replace(AWAY)], "connection refused")
    await one.tell()
    assert (await fares(mail_queue)).detail == "connection refused"


async def test_what_it_read_is_good_until_it_is_told_otherwise(mail_queue: Queue) -> None:
    one, other = replicas(mail_queue, 2)
    async with hot.connection(mail_queue.pool) as link:
        await one.gate.look(link, one.account)
        await opened(other)
        assert (await one.gate.look(link, one.account)).wait == 0
        one.gate.expire()
        assert (await one.gate.look(link, one.account)).wait > 0
