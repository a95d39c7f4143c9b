"""Two replicas share one queue and send nothing twice, also when one oversleeps its lease."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from mailproxy import AsyncMailProxyClient, Message

from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.replicas import client_of, replica, stopped_process
from tests.support.serving import Run
from tests.support.sinkhole import HOLD, ORDINARY, Sinkhole
from tests.support.telling import tell

SHARED = 5_000
BATCH = 500
LEASE = {"lease_seconds": 2, "hung_seconds": 0}


@dataclass
class Pair:
    """Two servers on one database, a client of each, and what was seen of them."""

    runs: tuple[Run, Run]
    clients: tuple[AsyncMailProxyClient, AsyncMailProxyClient]
    sinkhole: Sinkhole
    ledger: Ledger

    async def submit(self, count: int) -> None:
        """Submit by batches, in turn to the one and to the other."""
        numbers = range(count)
        parts = [numbers[start : start + BATCH] for start in range(0, count, BATCH)]

        async def part(index: int) -> None:
            letters = [
                Message(from_address="a@a.test", to=f"u{number}@b.test", text="Hi.\n")
                for number in parts[index]
            ]
            for sent in await self.clients[index % 2].submit_many(letters):
                assert not isinstance(sent, Exception), sent
                self.ledger.acknowledge(sent.message_id, [sent.recipients[0].recipient])

        await asyncio.gather(*map(part, range(len(parts))))

    def dispatcher(self, index: int) -> int:
        pid = self.runs[index].pid_of(" dispatcher ")
        assert pid
        return pid

    def ports(self, index: int) -> set[int]:
        """Give the local ports of one dispatcher's connections."""
        connections = psutil.Process(self.dispatcher(index)).net_connections("tcp")
        return {each.laddr.port for each in connections}


@asynccontextmanager
async def two_replicas(folder: Path, database_url: str) -> AsyncIterator[Pair]:
    folder.mkdir()
    ledger = Ledger()
    async with (
        Sinkhole() as sinkhole,
        replica(folder, database_url, settings=LEASE) as one,
        replica(folder, database_url, settings=LEASE) as other,
        client_of(one) as client,
        client_of(other) as second,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")

        async def follow() -> None:
            async for report in second.delivery_reports():
                ledger.note(report)

        following = asyncio.create_task(follow())
        yield Pair((one, other), (client, second), sinkhole, ledger)
        following.cancel()
        await asyncio.wait([following])


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_two_replicas_share_five_thousand_messages_and_send_nothing_twice(
    data_dir: Path, database_url: str
) -> None:
    async with two_replicas(data_dir, database_url) as pair:
        await pair.submit(SHARED)
        await eventually(lambda: pair.ledger.settled, "all are final", seconds=120)
        sinkhole = pair.sinkhole
        assert len(sinkhole.copies) == sinkhole.dots == SHARED
        assert pair.ledger.findings(sinkhole) == []
        shares = [sum(sinkhole.by_port[port] for port in pair.ports(index)) for index in (0, 1)]
        tell(f"shares: {shares}")
        assert min(shares) > SHARED // 20


@pytest.mark.timeout(300)
async def test_one_that_wakes_up_past_its_lease_settles_nothing_and_doubles_what_was_at_its_dot(
    data_dir: Path, database_url: str
) -> None:
    async with two_replicas(data_dir, database_url) as pair:
        sinkhole, ledger = pair.sinkhole, pair.ledger
        await pair.submit(200)
        await eventually(lambda: ledger.settled, "both have connections")
        sleeper = pair.ports(0)
        sinkhole.answers = lambda verb, port: (
            HOLD if verb == "DOT" and port in sleeper else ORDINARY
        )
        await pair.submit(1_000)
        await eventually(
            lambda: sinkhole.held and len(ledger.final) + len(sinkhole.held) == sinkhole.dots,
            "all other dots are settled",
        )
        with stopped_process(pair.dispatcher(0)) as resume:
            await eventually(lambda: ledger.settled, "the other one has sent it all", seconds=120)
            told, in_flight = ledger.offset, len(sinkhole.held)
            sinkhole.release()
            resume()
            await eventually(lambda: not sleeper & sinkhole.open.keys(), "the sleeper ended")
        await pair.submit(200)
        await eventually(lambda: ledger.settled, "and both go on")
        tell(f"{in_flight} in flight, {ledger.duplicates(sinkhole)} duplicates")
        assert ledger.findings(sinkhole) == []
        assert 0 < ledger.duplicates(sinkhole) <= in_flight
        assert ledger.offset == told + 200, "a late settle would have left a report"
        assert Counter(key for key, copies in sinkhole.copies.items() if copies > 2) == {}
