"""With 20,000 of low priority queued and being sent, an urgent one is the next to get a connection.

All connections are held at their final dot while the urgent one comes in; then they are let go.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from mailproxy import AsyncMailProxyClient, Message

from tests.support.eventually import eventually
from tests.support.replicas import client_of, replica
from tests.support.sinkhole import HOLD, ORDINARY, Sinkhole

LOW = 20_000
BATCH = 1_000
CONNECTIONS = 2


@dataclass
class Busy:
    """A server in the midst of much mail of low priority."""

    client: AsyncMailProxyClient
    sinkhole: Sinkhole

    async def place_of(self, priority: str) -> int:
        """Submit one more while all connections are held; give how many are begun before it."""
        sinkhole = self.sinkhole
        sinkhole.answers = lambda verb, port: HOLD if verb == "DOT" else ORDINARY
        await eventually(lambda: len(sinkhole.held) == CONNECTIONS, "all connections are held")
        before = len(sinkhole.versions)
        sent = await self.client.submit(
            from_address="a@a.test", to="now@b.test", text="123456\n", priority=priority
        )
        if priority == "immediate":
            await self._claimed(sent.message_id)
        sinkhole.answers = lambda verb, port: ORDINARY
        sinkhole.release()
        await eventually(lambda: len(sinkhole.versions) > before + 200, "mail flows again")
        order = list(sinkhole.versions)
        return order.index(sent.message_id) - before if sent.message_id in order else LOW

    async def _claimed(self, message_id: str) -> None:
        async with asyncio.timeout(20):
            while True:
                found = await self.client.get_message(message_id)
                if found.recipients[0].state == 2:  # SENDING
                    return
                await asyncio.sleep(0.01)


@asynccontextmanager
async def busy(folder: Path, database_url: str) -> AsyncIterator[Busy]:
    folder.mkdir()
    async with (
        Sinkhole() as sinkhole,
        replica(folder, database_url) as run,
        client_of(run) as client,
    ):
        await client.create_account(
            "demo", host="127.0.0.1", port=sinkhole.port, tls="none", max_connections=CONNECTIONS
        )
        for start in range(0, LOW, BATCH):
            letters = [
                Message(
                    from_address="a@a.test", to=f"u{number}@b.test", text="Hi.\n", priority="low"
                )
                for number in range(start, start + BATCH)
            ]
            await client.submit_many(letters, timeout=60)
        yield Busy(client, sinkhole)


@pytest.mark.timeout(200)
async def test_an_immediate_one_is_the_next_that_gets_a_connection(
    data_dir: Path, database_url: str
) -> None:
    async with busy(data_dir, database_url) as server:
        assert await server.place_of("immediate") < CONNECTIONS
        assert await server.place_of("low") > 100, "the control: its place is at the end"
