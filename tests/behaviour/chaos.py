"""Faults at random for as long as asked; at the end the same judgement as over the crash tests.

python -m tests.behaviour.chaos --minutes 10 [--seed N] [--asynchronous | --embedded]

The database is a primary and a standby that commits wait for, where Debian's PostgreSQL 15 is here,
else the embedded one. With --asynchronous they do not wait, and a failover may lose the last of
them: what it lost is told, and is no finding. docs/promises.md says what each fault may cost.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.support.faults import CHILD_FAULTS, FAULTS, HUNG, LEASE, Fault
from tests.support.ground_faults import ground_faults
from tests.support.postgres import open_folder
from tests.support.serving import ended_after
from tests.support.storm import Storm
from tests.support.storm_ground import is_there, storm_ground
from tests.support.telling import tell

OPEN = 1_000
"""Messages on their way at a time."""
TOLD_EVERY = 15.0
"""Seconds between lines of progress."""
SETTINGS = {"hung_seconds": HUNG, "statement_timeout_seconds": 4}
OF_THE_EMBEDDED = "kill postgres"
"""The fault that only a database has which is the server's own."""


@asynccontextmanager
async def storming(seed: int, database: str) -> AsyncIterator[Storm]:
    """Have a storm on one of the databases "synchronous", "asynchronous", "embedded"."""
    with open_folder() as folder, ended_after(folder / "data"):
        async with AsyncExitStack() as stack:
            ground = None
            if database != "embedded":
                opened = storm_ground(folder, synchronous=database == "synchronous")
                ground = await stack.enter_async_context(opened)
            storm = Storm(
                folder / "data", seed, dispatchers=2, lease=LEASE, ground=ground, settings=SETTINGS
            )
            storm.ledger.lossy = database == "asynchronous"
            yield await stack.enter_async_context(storm)


def faults_of(storm: Storm) -> dict[str, Fault]:
    """Give what can be done to this storm."""
    if storm.ground is None:
        return FAULTS | CHILD_FAULTS
    every = FAULTS | CHILD_FAULTS | ground_faults(storm.ground)
    return {name: fault for name, fault in every.items() if name != OF_THE_EMBEDDED}


async def chaos(minutes: float, seed: int, database: str) -> list[str]:
    """Go on for so long; give the promises that were broken."""
    done, copies = Counter[str](), Counter[str]()
    async with storming(seed, database) as storm:
        faults, bag, name = faults_of(storm), list[str](), "nothing"
        began = told = time.monotonic()
        while time.monotonic() - began < minutes * 60:
            answered = len(storm.ledger.acknowledged) + len(storm.ledger.unacknowledged)
            storm.let_in(max(0, OPEN - (storm.allowed - answered)))
            await storm.moment()
            copies[name] += storm.duplicates - copies.total()
            if not bag:  # each has its turn before one comes again
                bag = list(faults)
                storm.random.shuffle(bag)
            name = bag.pop()
            done[name] += 1
            await faults[name](storm)
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                tell(f"{told - began:5.0f} s: {storm.tally()}; last: {name}")
        calm = time.monotonic()
        await storm.run_dry(hurried=2 * HUNG)
        tell(f"all faults are over; the queue was empty {time.monotonic() - calm:.0f} s later")
        copies[f"{name}, and calm"] = storm.duplicates - copies.total()
        left = await storm.stop()
        tell(*summary(storm, done, +copies))
        findings = storm.findings() + storm.ledger.unacknowledged[:5]
        return findings + [f"left behind: {process}" for process in left]


def summary(storm: Storm, done: Counter[str], copies: Counter[str]) -> list[str]:
    """Say what there was; `copies` by the last fault before, which need not be the cause."""
    ledger, sinkhole = storm.ledger, storm.sinkhole
    lines = [
        storm.tally(),
        f"{done.total()} faults: {dict(sorted(done.items()))}",
        f"{copies.total()} copies, by when they came: {dict(sorted(copies.items()))}",
    ]
    if ledger.lossy:
        sent = sum(
            (one, to) in sinkhole.copies
            for one, all_to in ledger.forgotten.items()
            for to in all_to
        )
        lines.append(
            f"failovers went back to the offsets {ledger.common} and lost "
            f"{len(ledger.forgotten)} acknowledged messages, {sent} of their mails sent before: "
            f"{' '.join(ledger.forgotten)}"
        )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    which = parser.add_mutually_exclusive_group()
    for name in ("asynchronous", "embedded"):
        which.add_argument(f"--{name}", dest="database", action="store_const", const=name)
    given = parser.parse_args()
    database = given.database or ("synchronous" if is_there() else "embedded")
    tell(f"seed {given.seed}, {database} (again: make chaos SEED={given.seed})")
    findings = asyncio.run(chaos(given.minutes, given.seed, database))
    tell(*(findings or ["all promises were kept"]))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
