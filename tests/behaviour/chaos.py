"""Faults at random for as long as asked; at the end the same judgement as over the crash tests.

python -m tests.behaviour.chaos --minutes 10 [--seed N]
"""

import argparse
import asyncio
import os
import sys
import time

from tests.support.faults import FAULTS, LEASE
from tests.support.postgres import open_folder
from tests.support.serving import ended_after
from tests.support.storm import Storm
from tests.support.telling import tell

OPEN = 1_000
"""Messages on their way at a time."""
TOLD_EVERY = 15.0
"""Seconds between lines of progress."""


async def chaos(minutes: float, seed: int) -> list[str]:
    """Go on for so long; give the promises that were broken."""
    began = told = time.monotonic()
    with open_folder() as folder, ended_after(folder / "data"):
        async with Storm(folder / "data", seed, dispatchers=2, lease=LEASE) as storm:
            while time.monotonic() - began < minutes * 60:
                done = len(storm.ledger.acknowledged) + len(storm.ledger.unacknowledged)
                storm.let_in(max(0, OPEN - (storm.allowed - done)))
                await storm.moment()
                name = storm.random.choice(list(FAULTS))
                await FAULTS[name](storm)
                if time.monotonic() - told > TOLD_EVERY:
                    told = time.monotonic()
                    tell(f"{told - began:5.0f} s: {storm.tally()}; last: {name}")
            await storm.calm()
            left = await storm.stop()
            tell(storm.tally())
            findings = storm.findings() + storm.ledger.unacknowledged[:5]
            return findings + [f"left behind: {process}" for process in left]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    given = parser.parse_args()
    tell(f"seed {given.seed} (again: make chaos SEED={given.seed})")
    findings = asyncio.run(chaos(given.minutes, given.seed))
    tell(*(findings or ["all promises were kept"]))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
