"""What chaos does to the database below a storm, and to what lies between; each undoes itself.

What each may cost stands in docs/promises.md.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable

import psutil

from tests.support.faults import LEASE, for_a_while
from tests.support.storm import Storm
from tests.support.storm_ground import Ground

STEPS = (-3600, -60, 60, 3600)
BEFORE_A_LOSS = 30.0
"""Seconds before a failover that loses commits, of which it may also lose what was sent."""


async def read_only(storm: Storm) -> None:
    """The primary takes no writes."""
    node = _ground(storm).pair.primary
    await node.set("default_transaction_read_only", "on")
    await _meanwhile(storm, 3 * LEASE)
    await node.set("default_transaction_read_only", "off")


async def full(storm: Storm) -> None:
    """The primary has no room for what is written (SQLSTATE 53100)."""
    await _ground(storm).fill()
    await _meanwhile(storm, 3 * LEASE)
    await _ground(storm).empty()


async def frozen(storm: Storm) -> None:
    """The primary stands still, mostly for longer than the lease."""
    with _ground(storm).pair.primary.frozen():
        await _meanwhile(storm, 4 * LEASE)


async def gone(storm: Storm) -> None:
    """The primary crashes, and comes again after a while."""
    node = _ground(storm).pair.primary
    await node.crash()
    await _meanwhile(storm, 2 * LEASE)
    await node.start()


async def backend_killed(storm: Storm) -> None:
    """kill -9 of a session's process: PostgreSQL ends all sessions and recovers."""
    found = await _ground(storm).backends()
    if found:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(storm.random.choice(sorted(found))).kill()
    await _ground(storm).pair.primary.answered()


async def wire_frozen(storm: Storm) -> None:
    """All connections with the primary, old and new, stay open and carry nothing."""
    wire = _ground(storm).wire
    wire.freeze()
    await _meanwhile(storm, 4 * LEASE)
    await wire.restore()


async def connections_lost(storm: Storm) -> None:
    """The open connections carry nothing any more, as when a firewall has forgotten them; new ones
    do. PostgreSQL notices after a while."""
    ground = _ground(storm)
    lost = await ground.backends()
    ground.wire.lose()
    await _meanwhile(storm, 3 * LEASE)
    await ground.end(lost)


async def wire_cut(storm: Storm) -> None:
    """The primary cannot be reached."""
    wire = _ground(storm).wire
    await wire.cut()
    await _meanwhile(storm, 2 * LEASE)
    await wire.restore()


async def standby_away(storm: Storm) -> None:
    """The standby gets nothing. Where commits wait for it, none is answered meanwhile."""
    pair = _ground(storm).pair
    await pair.cut_replication()
    await _meanwhile(storm, 3 * LEASE)
    await pair.restore_replication()
    await pair.caught_up()


async def switched_over(storm: Storm) -> None:
    """The primary is stopped in order, and the standby promoted."""
    pair = _ground(storm).pair
    await pair.switch_over()
    await for_a_while(storm, LEASE)
    await pair.rebuild()


async def failed_over(storm: Storm) -> None:
    """The primary crashes, and the standby is promoted; where commits do not wait for it, it has
    mostly lacked some of them."""
    ground = _ground(storm)
    began = time.monotonic() - BEFORE_A_LOSS
    if not ground.synchronous:
        await ground.pair.cut_replication()
        storm.let_in(100)
        await storm.moment()
    await ground.pair.fail_over()
    if not ground.synchronous:
        late = (key for key, instant in storm.sinkhole.latest.items() if instant > began)
        storm.ledger.excused.update(late)
    await for_a_while(storm, LEASE)
    await ground.pair.rebuild()


async def clock_set(storm: Storm) -> None:
    """The primary's clock is set by a minute or an hour, and right again after a while."""
    _ground(storm).set_clock(storm.random.choice(STEPS))
    await _meanwhile(storm, 3 * LEASE)
    _ground(storm).set_clocks_right()


async def _meanwhile(storm: Storm, seconds: float) -> None:
    """Let time pass; at times one of the server's processes is killed in it."""
    await for_a_while(storm, seconds / 2)
    if storm.random.random() < 1 / 3:
        what = storm.random.choice(["front", "dispatcher", "everything"])
        if what == "everything" or storm.part(what):  # none may come before the database does
            await storm.strike(what)
    await for_a_while(storm, seconds / 2)


def _ground(storm: Storm) -> Ground:
    assert storm.ground is not None
    return storm.ground


def ground_faults(ground: Ground) -> dict[str, Callable[[Storm], Awaitable[None]]]:
    """Give the faults that this ground can have, by name."""
    return {
        "database read-only": read_only,
        "database full": full,
        "database frozen": frozen,
        "database gone": gone,
        "backend killed": backend_killed,
        "connections frozen": wire_frozen,
        "connections lost": connections_lost,
        "database out of reach": wire_cut,
        "standby away": standby_away,
        "switch-over": switched_over,
        "fail-over": failed_over,
        **({"clock set": clock_set} if ground.clocked else {}),
    }
