"""Whatever is killed -9 and whenever: nothing acknowledged is lost, and every doubt is told."""

import os
from pathlib import Path

import pytest

from tests.support.storm import Storm

MESSAGES = 5_000
STRIKES = {
    "front": 16,
    "dispatcher": 22,
    "children": 8,
    "postgres": 8,
    "supervisor": 3,
    "everything": 3,
}


@pytest.mark.timeout(900)
async def test_sixty_kills_over_five_thousand_messages_lose_nothing_and_leave_no_gap(
    data_dir: Path,
) -> None:
    seed = int(os.environ.get("SEED") or int.from_bytes(os.urandom(4)))
    print(f"seed: SEED={seed}")
    import time
    t=time.monotonic()
    async with Storm(data_dir, seed) as storm:
        strikes = [what for what, times in STRIKES.items() for _ in range(times)]
        storm.random.shuffle(strikes)
        for number, what in enumerate(strikes):
            storm.let_in(MESSAGES * (number + 1) // len(strikes) - MESSAGES * number // len(strikes))
            await storm.moment()
            await storm.strike(what)
            print(number, what, storm.traffic, time.monotonic()-t)
        await storm.calm()
        duplicates = storm.ledger.duplicates(storm.sinkhole)
        print(f"{duplicates} duplicates, {storm.ledger.doubts.total()} doubts")
        assert storm.findings() == []
        assert storm.ledger.unacknowledged == []
        assert len(storm.ledger.acknowledged) == MESSAGES
        assert storm.kills.total() >= 60
        assert await storm.stop() == []
