"""The gate's pace: a throttle that all replicas keep, and pauses."""

from dataclasses import replace

from mailproxy_server.dispatcher.gate import Gate
from mailproxy_server.mail.transcript import Stage

from tests.support.gates import AWAY, REFUSED, SLOWER, replicas
from tests.support.health import fares, logged, sooner
from tests.support.queue import Queue


async def test_replicas_that_are_refused_together_halve_the_connections_once(
    mail_queue: Queue,
) -> None:
    one, other = replicas(mail_queue, 2)
    assert await one.tell(*[SLOWER] * 10)
    assert not await other.tell(*[SLOWER] * 10)
    assert [(await each.look()).connections for each in (one, other)] == [5, 5]


async def test_control_refusals_apart_halve_them_again(mail_queue: Queue) -> None:
    one, other = replicas(mail_queue, 2)
    await one.tell(SLOWER)
    await sooner(mail_queue, 5)
    assert await other.tell(SLOWER)
    assert (await one.look()).connections == 2


async def test_with_one_connection_left_it_makes_pauses_and_then_takes_all_back(
    mail_queue: Queue,
) -> None:
    (one,) = replicas(mail_queue, 1, most=4)
    paces = []
    for _ in range(4):
        await one.tell(SLOWER)
        await sooner(mail_queue, 5)
        leave = await one.look()
        paces.append((leave.connections, leave.gap))
    assert paces == [(2, 0), (1, 0), (1, 1), (1, 2)]
    for _ in range(6):
        await sooner(mail_queue, 30)
        leave = await one.look()
        paces.append((leave.connections, leave.gap))
    assert paces[4:] == [(1, 1), (1, 0), (2, 0), (3, 0), (4, 0), (4, 0)]


async def test_control_without_a_clean_window_it_takes_nothing_back(mail_queue: Queue) -> None:
    (one,) = replicas(mail_queue, 1)
    await one.tell(SLOWER)
    await sooner(mail_queue, 29)
    assert (await one.look()).connections == 5


async def test_replicas_take_one_step_back_together(mail_queue: Queue) -> None:
    those = replicas(mail_queue, 3)
    await those[0].tell(SLOWER)
    await sooner(mail_queue, 30)
    assert [(await each.look()).connections for each in those] == [6, 6, 6]


async def test_each_replica_takes_its_share_of_what_the_throttle_left(mail_queue: Queue) -> None:
    (one,) = replicas(mail_queue, 1)
    one.gate = Gate(0.5, 30.0)
    await one.tell(SLOWER)
    assert (await one.look()).connections == 2


async def test_a_relay_that_is_only_slow_opens_no_breaker_and_writes_no_report(
    mail_queue: Queue,
) -> None:
    (one,) = replicas(mail_queue, 1)
    await one.tell(*[SLOWER] * 20)
    assert (await one.look()).wait == 0
    assert await logged(mail_queue) == []


async def test_a_probe_that_is_told_to_go_slower_closes_the_breaker_and_goes_slower(
    mail_queue: Queue,
) -> None:
    (one,) = replicas(mail_queue, 1)
    await one.tell(*[AWAY] * 5)
    await sooner(mail_queue, 30)
    assert await one.probe()
    assert await one.tell(SLOWER)
    leave = await one.look()
    assert (leave.wait, leave.connections) == (0.0, 5)


async def test_control_told_so_before_auth_it_leaves_refused_credentials_refused(
    mail_queue: Queue,
) -> None:
    (one,) = replicas(mail_queue, 1)
    await one.tell(REFUSED)
    await sooner(mail_queue, 900)
    assert await one.probe()
    assert await one.tell(replace(SLOWER, stage=Stage.CONNECT))
    assert (await fares(mail_queue)).kind == "auth"


async def test_a_pause_shuts_it_and_a_resume_opens_it(mail_queue: Queue) -> None:
    (one,) = replicas(mail_queue, 1)
    await mail_queue.pool.execute(
        "INSERT INTO mailproxy.pauses (tenant_id, account_id, note) VALUES ($1, 'demo', 'why')",
        mail_queue.tenant_id,
    )
    leave = await one.look()
    assert (leave.wait, leave.paused) == (30.0, True)
    await mail_queue.pool.execute("DELETE FROM mailproxy.pauses")
    assert not (await one.look()).paused


async def test_control_a_pause_of_labels_leaves_the_account_open(mail_queue: Queue) -> None:
    (one,) = replicas(mail_queue, 1)
    await mail_queue.pool.execute(
        """INSERT INTO mailproxy.pauses (tenant_id, account_id, labels)
           VALUES ($1, 'demo', '{"kind": "news"}')""",
        mail_queue.tenant_id,
    )
    assert not (await one.look()).paused
