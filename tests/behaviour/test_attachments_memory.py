"""Attachments pass through the server without ever being in it: fetched or uploaded, 60 MiB of them
in 20 messages at once."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mailproxy import AsyncMailProxyClient, Attachment

from tests.support.eventually import eventually
from tests.support.memory import MIB, pss
from tests.support.origin import Origin
from tests.support.replicas import client_of, replica
from tests.support.serving import Run
from tests.support.sinkhole import Sinkhole
from tests.support.telling import tell

GROWTH = 40
"""MiB of PSS that the server's processes may grow by at their peak."""
MESSAGES, SIZE = 20, 3 * MIB


class Peak:
    """The most memory that a run took, looked at again and again."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.most = 0.0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        async def watch() -> None:
            while True:
                self.most = max(self.most, await asyncio.to_thread(pss, self._run))
                await asyncio.sleep(0.02)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            self.most = max(self.most, pss(self._run))


@pytest.fixture
def folder(data_dir: Path) -> Path:
    data_dir.mkdir()
    return data_dir


async def warm_up(client: AsyncMailProxyClient, sinkhole: Sinkhole, file: Attachment) -> None:
    """One message goes the same way, so that what is loaded once is loaded."""
    await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
    await client.submit(from_address="a@a.test", to="b@b.test", text="Hi.", attachments=[file])
    await eventually(lambda: sinkhole.dots == 1, "the first has arrived")


@pytest.mark.timeout(300)
async def test_sixty_mib_that_are_fetched(folder: Path, database_url: str) -> None:
    pages = {f"/{number}": os.urandom(SIZE) for number in range(MESSAGES)}
    async with (
        Origin({**pages, "/small": b"small"}) as origin,
        Sinkhole() as sinkhole,
        replica(folder, database_url, settings={"egress_allow": "127.0.0.1/32"}) as run,
        client_of(run) as client,
    ):
        await warm_up(client, sinkhole, Attachment("small", url=origin.url("/small")))
        before, peak = pss(run), Peak(run)
        async with peak.watched():
            for path in pages:
                file = Attachment("file", url=origin.url(path))
                await client.submit(from_address="a@a.test", to="b@b.test", attachments=[file])
            await eventually(lambda: sinkhole.dots == MESSAGES + 1, "all have arrived", seconds=120)
    tell(f"fetched: {before:.1f} MiB before, {peak.most:.1f} MiB at the peak")
    assert peak.most - before < GROWTH


@pytest.mark.timeout(300)
async def test_sixty_mib_that_are_uploaded(folder: Path, database_url: str) -> None:
    async with (
        Sinkhole() as sinkhole,
        replica(folder, database_url) as run,
        client_of(run) as client,
    ):
        await warm_up(client, sinkhole, Attachment("file", os.urandom(2 * MIB)))
        before, peak = pss(run), Peak(run)

        async def one() -> None:
            file = Attachment("file", os.urandom(SIZE))
            await client.submit(from_address="a@a.test", to="b@b.test", attachments=[file])

        async with peak.watched():
            await asyncio.gather(*(one() for _ in range(MESSAGES)))
            await eventually(lambda: sinkhole.dots == MESSAGES + 1, "all have arrived", seconds=120)
    tell(f"uploaded: {before:.1f} MiB before, {peak.most:.1f} MiB at the peak")
    assert peak.most - before < GROWTH
