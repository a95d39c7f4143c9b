"""Probes of a gate: which replica makes them, and what comes of each result."""

from mailproxy_server.dispatcher.gate import PROBE_SECONDS, Gate
from mailproxy_server.mail.delivery import Event

from tests.support.gates import (
    ACCEPTED,
    AWAY,
    CUT,
    NO_USER,
    REFUSED,
    USED_UP,
    opened,
    probing,
    replicas,
)
from tests.support.health import fares, logged, sooner
from tests.support.queue import Queue

OPENED, CLOSED = Event.BREAKER_OPENED, Event.BREAKER_CLOSED


async def test_one_replica_probes_and_the_others_wait(mail_queue: Queue) -> None:
    those = replicas(mail_queue, 3)
    await opened(those[0])
    await sooner(mail_queue, 30)
    for each in those:
        leave = await each.look()
        assert (leave.wait, leave.probe, leave.connections) == (0.0, True, 1)
    assert [await each.probe() for each in those] == [True, False, False]
    for each in those:
        assert (await each.look()).wait > 0


async def test_a_probe_that_works_opens_the_way_for_all_and_is_told_of_once(
    mail_queue: Queue,
) -> None:
    one, other = replicas(mail_queue, 2)
    await probing(one)
    before = (await other.look()).generation
    assert await one.tell(ACCEPTED)
    for each in (one, other):
        leave = await each.look()
        assert (leave.wait, leave.connections, leave.probe) == (0.0, 10, False)
        assert leave.generation == before + 1
    assert await logged(mail_queue) == [(1, OPENED), (2, CLOSED)]


async def test_control_what_was_under_way_when_it_opened_does_not_close_it(
    mail_queue: Queue,
) -> None:
    (one,) = replicas(mail_queue, 1)
    await opened(one)
    one.hear(ACCEPTED)
    assert not one.gate.pending
    assert (await one.look()).wait > 0


async def test_each_probe_that_fails_doubles_the_wait(mail_queue: Queue) -> None:
    (one,) = replicas(mail_queue, 1)
    one.gate = Gate(1.0, 3600.0)
    await opened(one)
    waits = []
    for _ in range(6):
        waits.append(round((await one.look()).wait))
        await sooner(mail_queue, 600)
        assert await one.probe()
        await one.tell(AWAY)
    assert waits == [30, 60, 120, 240, 480, 600]
    assert await logged(mail_queue) == [(1, OPENED)]


async def test_a_relay_that_is_away_leaves_refused_credentials_refused(mail_queue: Queue) -> None:
    (one,) = replicas(mail_queue, 1)
    await probing(one, REFUSED)
    await one.tell(AWAY)
    found = await fares(mail_queue)
    assert (found.kind, found.probes) == ("auth", 1)
    assert found.probe_at
    assert 899 < (found.probe_at - found.now).total_seconds() <= 900


async def test_a_refused_recipient_does_not_show_that_a_quota_is_free_again(
    mail_queue: Queue,
) -> None:
    (one,) = replicas(mail_queue, 1)
    await probing(one, USED_UP)
    assert not await one.tell(NO_USER)
    assert (await one.look()).probe, "the next message is the probe at once"
    assert await one.probe()
    assert await one.tell(ACCEPTED)
    assert (await one.look()).connections == 10


async def test_a_probe_that_was_not_sent_is_anybodys_at_once(mail_queue: Queue) -> None:
    one, other = replicas(mail_queue, 2)
    await probing(one)
    one.gate.hear(())
    await one.tell()
    assert await other.probe()


async def test_control_one_that_broke_off_in_the_middle_is_not(mail_queue: Queue) -> None:
    one, other = replicas(mail_queue, 2)
    await probing(one)
    await one.tell(CUT)
    assert not await other.probe()
    assert (await fares(mail_queue)).probes == 0
    await sooner(mail_queue, PROBE_SECONDS)
    assert await other.probe()


async def test_a_probe_is_kept_for_as_long_as_it_takes(mail_queue: Queue) -> None:
    one, other = replicas(mail_queue, 2)
    await probing(one)
    first = (await fares(mail_queue)).probe_at
    await one.look()
    second = (await fares(mail_queue)).probe_at
    assert first
    assert second
    assert second > first
    await one.tell(CUT)
    await one.look()
    assert (await fares(mail_queue)).probe_at == second, "it is over: nobody keeps it"
    assert not await other.probe()


async def test_who_lost_the_probe_does_not_put_off_the_next_one(mail_queue: Queue) -> None:
    one, other = replicas(mail_queue, 2)
    await probing(one)
    await sooner(mail_queue, PROBE_SECONDS)
    assert await other.probe()
    assert not await one.tell(AWAY)
    assert (await fares(mail_queue)).probes == 0


async def test_a_probe_with_the_old_password_does_not_shut_the_way_of_the_new_one(
    mail_queue: Queue,
) -> None:
    (one,) = replicas(mail_queue, 1)
    await probing(one, REFUSED)
    one.changed()
    assert (await one.look()).wait == 0
    await one.tell(REFUSED)
    assert (await one.look()).wait == 0
    await one.tell(REFUSED)
    assert (await one.look()).wait > 0, "control: a second refusal is the new one's"


async def test_a_fault_after_it_was_closed_is_the_first_of_five(mail_queue: Queue) -> None:
    one, other = replicas(mail_queue, 2)
    await other.look()
    other.hear(*[AWAY] * 4)
    await probing(one)
    await one.tell(ACCEPTED)
    await other.look()
    other.hear(*[AWAY] * 4)
    assert not other.gate.pending
