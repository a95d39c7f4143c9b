"""What chaos does to a storm besides kill -9: to its relay, and by other signals."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from tests.support.replicas import stopped_process
from tests.support.sinkhole import CUT, LATER, ORDINARY
from tests.support.storm import PARTS, Storm

LEASE = 3


async def relay_cuts(storm: Storm) -> None:
    """Every connection to the relay is cut at once."""
    storm.sinkhole.cut_all()


async def relay_away(storm: Storm) -> None:
    """Nobody listens where the relay was, for a while."""
    storm.sinkhole.stop()
    await _for_a_while(storm, 5)
    await storm.sinkhole.start()


async def relay_in_a_mood(storm: Storm) -> None:
    """The relay answers 451, or cuts, at random commands, for a while; also after final dots."""
    mood = storm.random.choice([CUT, LATER])
    storm.sinkhole.answers = lambda verb, port: mood if storm.random.random() < 0.2 else ORDINARY
    await _for_a_while(storm, 5)
    storm.sinkhole.answers = lambda verb, port: ORDINARY


async def dispatcher_sleeps(storm: Storm) -> None:
    """A dispatcher is stopped, mostly for longer than its lease."""
    with stopped_process((await storm.running("dispatcher")).pid):
        await _for_a_while(storm, 2 * LEASE)


async def drained(storm: Storm) -> None:
    """The server is told to stop, and started again when it has."""
    storm.run.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(storm.run.wait, 60)
    storm.start()


async def _for_a_while(storm: Storm, seconds: float) -> None:
    await asyncio.sleep(storm.random.uniform(0, seconds))


def _killed(what: str) -> Callable[[Storm], Awaitable[None]]:
    async def fault(storm: Storm) -> None:
        await storm.strike(what)

    return fault


FAULTS: dict[str, Callable[[Storm], Awaitable[None]]] = {
    **{f"kill {what}": _killed(what) for what in (*PARTS, "supervisor", "everything")},
    "relay cuts": relay_cuts,
    "relay away": relay_away,
    "relay in a mood": relay_in_a_mood,
    "dispatcher sleeps": dispatcher_sleeps,
    "drained": drained,
}
