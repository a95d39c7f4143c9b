"""What is committed late, behind the low-water bound, is found by the sweep and by nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from mailproxy import AsyncMailProxyClient

from tests.support.eventually import eventually
from tests.support.replicas import client_of, replica
from tests.support.sinkhole import Sinkhole

TIMEOUT = 0.5
"""Seconds of the statement timeout: the bound is this and a second behind."""
FAR = 3600


async def one_more(client: AsyncMailProxyClient) -> None:
    """Send a message; its claim has taken all there is to see and so moves the bound."""
    sent = await client.submit(from_address="a@a.test", to="now@b.test", text="Now.\n")
    async for report in client.watch(sent.message_id):
        assert report.final


@asynccontextmanager
async def with_a_late_commit(
    folder: Path, database_url: str, sweep_seconds: float
) -> AsyncIterator[tuple[AsyncMailProxyClient, Sinkhole]]:
    """A delivery became due behind the bound, by a transaction that took its time to commit."""
    folder.mkdir()
    settings = {
        "statement_timeout_seconds": TIMEOUT,
        "poll_seconds": 0.2,
        "sweep_seconds": sweep_seconds,
    }
    async with (
        Sinkhole() as sinkhole,
        replica(folder, database_url, settings=settings) as run,
        client_of(run) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        late = await client.submit(
            from_address="a@a.test", to="late@b.test", text="Late.\n", send_time=tomorrow
        )
        link = await asyncpg.connect(database_url)
        transaction = link.transaction()
        await transaction.start()
        await link.execute(
            "UPDATE mailproxy.deliveries SET due_at = now() WHERE message_id = $1", late.message_id
        )
        passed = datetime.now(UTC) + timedelta(seconds=TIMEOUT + 1.5)
        while datetime.now(UTC) < passed:
            await one_more(client)
        await transaction.commit()
        await link.execute("SELECT pg_notify('mailproxy_due', '')")
        await link.close()
        yield client, sinkhole


def late_ones(sinkhole: Sinkhole) -> int:
    return sum(recipient == "late@b.test" for _, recipient in sinkhole.copies)


async def test_a_row_that_commits_behind_the_bound_is_sent(
    data_dir: Path, database_url: str
) -> None:
    async with with_a_late_commit(data_dir, database_url, sweep_seconds=0.5) as (_, sinkhole):
        await eventually(lambda: late_ones(sinkhole), "the sweep has found it")


async def test_control_without_the_sweep_no_hint_and_no_poll_finds_it(
    data_dir: Path, database_url: str
) -> None:
    async with with_a_late_commit(data_dir, database_url, FAR) as (client, sinkhole):
        over = datetime.now(UTC) + timedelta(seconds=3)
        while datetime.now(UTC) < over:
            await one_more(client)
            assert not late_ones(sinkhole)
        await client.update_account("demo", max_connections=3)  # its bounds begin anew
        await eventually(lambda: late_ones(sinkhole), "it was there all the time")
