"""A limit holds over two replicas, in every sliding window, also while one of them is killed.

The judge is the SMTP server's clock at each MAIL. The 10 s window is the test's own; it is
written into the table, since an account takes only 1 s, 1 min, 1 h and 1 day.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from mailproxy import AsyncMailProxyClient, Message

from tests.support.eventually import eventually
from tests.support.programs import running
from tests.support.replicas import client_of, environment_of, replica, stopped_process
from tests.support.serving import REAL, Run
from tests.support.sinkhole import Sinkhole
from tests.support.telling import tell
from tests.support.timed import fullest, longest_pause, note_mails, within

LIMITS = ((5, 1), (30, 10))
MESSAGES = 400
UNRESERVED = ("-P", str(Path(__file__).parents[1] / "support/serve_unreserved.py"))
SETTINGS = {"lease_seconds": 3, "poll_seconds": 1, "hung_seconds": 0}


@dataclass
class Limited:
    """Two servers that share a limited account, and when MAIL came to its relay."""

    runs: list[Run]
    client: AsyncMailProxyClient
    instants: list[float]


@asynccontextmanager
async def limited(
    folder: Path, database_url: str, program: tuple[str, ...] = REAL
) -> AsyncIterator[Limited]:
    folder.mkdir()
    async with (
        Sinkhole() as sinkhole,
        replica(folder, database_url, settings=SETTINGS, program=program) as one,
        replica(folder, database_url, settings=SETTINGS, program=program) as other,
        client_of(one) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        await _limit(database_url)
        instants = note_mails(sinkhole)
        letters = [
            Message(from_address="a@a.test", to=f"u{number}@b.test", text="Hi.\n")
            for number in range(MESSAGES)
        ]
        await client.submit_many(letters)
        yield Limited([one, other], client, instants)


async def _limit(database_url: str) -> None:
    limits = [{"count": n, "window": seconds, "unit": "recipients"} for n, seconds in LIMITS]
    link = await asyncpg.connect(database_url)
    await link.execute(
        "UPDATE mailproxy.accounts SET limits = $1, generation = generation + 1",
        json.dumps(limits),
    )
    await link.execute("SELECT pg_notify('mailproxy_accounts', '')")
    await link.close()


def exceeded(instants: list[float]) -> list[str]:
    """Give which limits were exceeded, in words."""
    found = [(fullest(instants, seconds), count, seconds) for count, seconds in LIMITS]
    return [f"{most} in {s} s, {count} allowed" for most, count, s in found if most > count]


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_no_sliding_window_is_exceeded_while_one_of_two_is_killed(
    data_dir: Path, database_url: str
) -> None:
    now = asyncio.get_running_loop().time
    async with limited(data_dir, database_url) as pair:
        instants = pair.instants
        await eventually(lambda: len(instants) >= 40, "both send", seconds=60)
        killed = now()
        pair.runs[0].kill_one(" dispatcher ")
        await eventually(lambda: len(instants) >= 150, "it goes on", seconds=120)
        assert exceeded(instants) == []
        window = LIMITS[1][1]
        begin, end = killed + window, instants[-1]
        used = within(instants, begin, end) / ((end - begin) / window * LIMITS[1][0])
        tell(f"used {used:.2f} of what the limit allows; fullest {fullest(instants, 1)} in 1 s")
        assert used >= 0.8
        await _audit_agrees(pair.runs[1], database_url)


@pytest.mark.timeout(180)
async def test_control_without_the_reservation_the_limit_is_exceeded(
    data_dir: Path, database_url: str
) -> None:
    async with limited(data_dir, database_url, UNRESERVED) as pair:
        await eventually(lambda: len(pair.instants) >= 60, "both send", seconds=60)
        assert exceeded(pair.instants) != []
        status, told = await _audit(pair.runs[1], database_url)
        assert status == 1, told


@pytest.mark.timeout(180)
async def test_one_that_is_stopped_inside_its_claim_holds_the_other_up_for_three_seconds_at_most(
    data_dir: Path, database_url: str
) -> None:
    async with limited(data_dir, database_url) as pair:
        instants = pair.instants
        await eventually(lambda: len(instants) >= 20, "both send", seconds=60)
        dispatcher = pair.runs[0].pid_of(" dispatcher ")
        assert dispatcher
        with await _stopped_inside_its_claim(database_url, dispatcher):
            seen = len(instants)
            await eventually(lambda: len(instants) >= seen + 20, "the other goes on", seconds=60)
            pause = longest_pause(instants[seen - 1 :])
        tell(f"the longest pause was {pause:.2f} s")
        assert exceeded(instants) == []
        assert pause <= LIMITS[1][1], "a window's wait is the limit's own"


async def _audit(run: Run, database_url: str) -> tuple[int, dict[str, Any]]:
    """Run `mailproxy audit limits` beside the servers."""
    arguments = ["audit", "limits", "demo", "--json"]
    for count, seconds in LIMITS:
        arguments += ["--limit", f"{count}/{seconds}s"]
    async with running(
        sys.executable, "-P", "-m", "mailproxy_server", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment_of(database_url), "MAILPROXY_DATA_DIR": str(run.data_dir)},
    ) as process:  # fmt: skip
        out, err = await process.communicate()
    assert process.returncode is not None
    assert out, err.decode()
    return process.returncode, json.loads(out)


async def _audit_agrees(run: Run, database_url: str) -> None:
    status, told = await _audit(run, database_url)
    tell(told)
    assert status == 0


async def _stopped_inside_its_claim(database_url: str, dispatcher: int) -> ExitStack:
    """Stop a dispatcher again and again until it happens to hold the rate row's lock."""
    link = await asyncpg.connect(database_url)
    try:
        for _ in range(2_000):
            stack = ExitStack()
            stack.enter_context(stopped_process(dispatcher))
            held = await link.fetchval(
                """SELECT count(*) FROM pg_stat_activity
                   WHERE state = 'idle in transaction' AND datname = current_database()"""
            )
            if held:
                return stack
            stack.close()
            await asyncio.sleep(0.002)
    finally:
        await link.close()
    raise AssertionError("it was never caught inside its claim")
