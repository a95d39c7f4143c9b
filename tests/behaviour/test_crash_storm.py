"""Whatever is killed -9 and whenever: nothing acknowledged is lost, and every doubt is told."""

import os
from pathlib import Path

import pytest

from tests.support.storm import Storm
from tests.support.telling import tell

MESSAGES = 5_000
ROUNDS = 6
ROUND = ["front"] * 3 + ["dispatcher"] * 3 + ["children", "postgres", "postgres"]
"""Kills of one round in an order of chance, and one of all or of the supervisor besides."""


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_sixty_kills_over_five_thousand_messages_lose_nothing_and_leave_no_gap(
    data_dir: Path,
) -> None:
    seed = int(os.environ.get("SEED") or int.from_bytes(os.urandom(4)))
    tell(f"SEED={seed}")
    async with Storm(data_dir, seed) as storm:
        for number in range(ROUNDS):
            strikes = [*ROUND, "supervisor" if number % 2 else "everything"]
            storm.random.shuffle(strikes)
            for what in strikes:
                storm.let_in(MESSAGES // ROUNDS // len(strikes))
                await storm.moment()
                await storm.strike(what)
        storm.let_in(MESSAGES - storm.allowed)
        await storm.calm()
        tell(storm.tally())
        assert storm.findings() == []
        assert storm.ledger.unacknowledged == []
        assert len(storm.ledger.acknowledged) == MESSAGES
        assert storm.kills.total() >= 60
        assert await storm.stop() == []
