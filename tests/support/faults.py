"""What chaos does to a storm besides kill -9: to its relay, and by other signals."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable

import psutil

from tests.support.eventually import eventually
from tests.support.replicas import stopped_process
from tests.support.sinkhole import CUT, LATER, ORDINARY
from tests.support.storm import PARTS, Storm

Fault = Callable[[Storm], Awaitable[None]]
LEASE = 3
HUNG = 8
_STARTED = 15.0
"""Seconds after which a process serves, mostly."""
_SPARE = 2**22
"""Bytes that one without memory may still take."""


async def relay_cuts(storm: Storm) -> None:
    """Every connection to the relay is cut at once."""
    storm.sinkhole.cut_all()


async def relay_away(storm: Storm) -> None:
    """Nobody listens where the relay was, for a while."""
    storm.sinkhole.stop()
    await for_a_while(storm, 5)
    await storm.sinkhole.start()


async def relay_in_a_mood(storm: Storm) -> None:
    """The relay answers 451, or cuts, at random commands, for a while; also after final dots."""
    mood = storm.random.choice([CUT, LATER])
    storm.sinkhole.answers = lambda verb, port: mood if storm.random.random() < 0.2 else ORDINARY
    await for_a_while(storm, 5)
    storm.sinkhole.answers = lambda verb, port: ORDINARY


async def dispatcher_sleeps(storm: Storm) -> None:
    """A dispatcher is stopped, mostly for longer than its lease."""
    with stopped_process((await storm.running("dispatcher")).pid):
        await for_a_while(storm, 2 * LEASE)


async def drained(storm: Storm) -> None:
    """The server is told to stop, and started again when it has."""
    storm.run.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(storm.run.wait, 60)
    storm.start()


async def for_a_while(storm: Storm, seconds: float) -> None:
    """Let time pass, up to so much."""
    await asyncio.sleep(storm.random.uniform(0, seconds))


def _hung(part: str) -> Fault:
    async def fault(storm: Storm) -> None:
        """It is stopped until the supervisor has replaced it: one that serves, as a minute more is
        given to one that starts."""
        process = await storm.running(part)
        over = time.monotonic() + _STARTED
        await eventually(lambda: _is_gone(storm, process) or time.monotonic() > over, "it serves")
        if _is_gone(storm, process):
            return
        with stopped_process(process.pid):
            await eventually(
                lambda: _is_gone(storm, process), f"the {part} is replaced", seconds=120
            )

    return fault


def _without_memory(part: str) -> Fault:
    async def fault(storm: Storm) -> None:
        """It gets no more memory than it has and a little, for a while or until it dies of it."""
        process = await storm.running(part)
        over = time.monotonic() + storm.random.uniform(0, 10)
        with contextlib.suppress(psutil.NoSuchProcess):
            allowed = process.memory_info().vms + _SPARE
            process.rlimit(psutil.RLIMIT_AS, (allowed, psutil.RLIM_INFINITY))
            await eventually(lambda: _is_gone(storm, process) or time.monotonic() > over, "over")
            process.rlimit(psutil.RLIMIT_AS, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))

    return fault


def _is_gone(storm: Storm, process: psutil.Process) -> bool:
    storm.tend()
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def _killed(what: str) -> Fault:
    async def fault(storm: Storm) -> None:
        await storm.strike(what)

    return fault


FAULTS: dict[str, Fault] = {
    **{f"kill {what}": _killed(what) for what in (*PARTS, "supervisor", "everything")},
    "relay cuts": relay_cuts,
    "relay away": relay_away,
    "relay in a mood": relay_in_a_mood,
    "dispatcher sleeps": dispatcher_sleeps,
    "drained": drained,
}
"""What can be done to any storm."""
CHILD_FAULTS: dict[str, Fault] = {
    **{f"hung {part}": _hung(part) for part in ("front", "dispatcher")},
    **{f"{part} without memory": _without_memory(part) for part in ("front", "dispatcher")},
}
"""What needs a supervisor that waits for HUNG seconds only."""
