"""What is to be sent at most once is never sent twice, whatever dies: it ends unknown instead."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mailproxy import AsyncMailProxyClient, Message
from mailproxy.v1.delivery_pb2 import FailureReason, ReportEvent

from tests.support.bare import Bare
from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.replicas import client_of, environment_of, replica
from tests.support.sinkhole import HOLD, ORDINARY, Sinkhole
from tests.support.telling import tell

KILLS, MESSAGES, BATCH = 50, 6_000, 500
SETTINGS = {"lease_seconds": 2}
UNKNOWN = FailureReason.FAILURE_REASON_OUTCOME_UNKNOWN


@dataclass
class Place:
    """A front that stays, and a dispatcher of its own that is killed and started again."""

    folder: Path
    environment: dict[str, str]
    client: AsyncMailProxyClient
    sinkhole: Sinkhole
    ledger: Ledger
    run: Bare = field(init=False)

    async def submit(self, count: int, *, at_most_once: bool) -> None:
        letters = [
            Message(
                from_address="a@a.test",
                to=f"u{number}@b.test",
                text="Hi.\n",
                at_most_once=at_most_once,
            )
            for number in range(count)
        ]
        for sent in await self.client.submit_many(letters):
            assert not isinstance(sent, Exception), sent
            self.ledger.acknowledge(sent.message_id, [sent.recipients[0].recipient])

    async def start(self) -> None:
        """Start the dispatcher, without a supervisor's patience with what dies often."""
        self.run = Bare("dispatcher", self.environment, self.folder / "dispatcher.log")
        await asyncio.to_thread(self.run.ready)

    async def strike(self) -> None:
        """kill -9 the dispatcher, and start another."""
        await asyncio.to_thread(self.run.kill)
        await self.start()

    @property
    def most(self) -> int:
        """The most copies that one recipient got of one message."""
        return max(self.sinkhole.copies.values(), default=0)


@asynccontextmanager
async def place(folder: Path, database_url: str) -> AsyncIterator[Place]:
    folder.mkdir()
    ledger = Ledger()
    async with (
        Sinkhole() as sinkhole,
        replica(folder, database_url, "--dispatchers", "0", settings=SETTINGS) as front,
        client_of(front) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")

        async def follow() -> None:
            async for report in client.delivery_reports():
                ledger.note(report)

        following = asyncio.create_task(follow())
        environment = environment_of(database_url) | {"MAILPROXY_LEASE_SECONDS": "2"}
        here = Place(folder, environment, client, sinkhole, ledger)
        await here.start()
        try:
            yield here
            await asyncio.to_thread(here.run.stop)
        finally:
            here.run.kill()
        following.cancel()
        await asyncio.wait([following])


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_fifty_kills_double_nothing_and_what_is_not_sent_is_unknown(
    data_dir: Path, database_url: str
) -> None:
    chance = random.Random(11)
    async with place(data_dir, database_url) as here:
        sinkhole, ledger = here.sinkhole, here.ledger
        for kill in range(KILLS):
            if kill % (KILLS * BATCH // MESSAGES) == 0:
                await here.submit(BATCH, at_most_once=True)
            goal = sinkhole.dots + chance.randrange(1, 60)
            await eventually(
                lambda goal=goal: sinkhole.dots >= goal or ledger.settled,  # type: ignore[misc]
                "mail flows",
                seconds=60,
            )
            await here.strike()
        await eventually(lambda: ledger.settled, "all are final", seconds=120)
        ends = Counter((one.event, one.reason) for one in ledger.final.values())
        tell(f"{ends}, {sinkhole.dots} dots")
        assert here.most == 1
        assert ledger.wrong == []
        sent = (ReportEvent.REPORT_EVENT_SENT, FailureReason.FAILURE_REASON_UNSPECIFIED)
        unknown = (ReportEvent.REPORT_EVENT_FAILED, UNKNOWN)
        assert set(ends) == {sent, unknown}
        assert ends[sent] <= sinkhole.dots


@pytest.mark.timeout(120)
@pytest.mark.parametrize("at_most_once", [True, False])
async def test_a_kill_at_the_dot_ends_unknown_and_as_the_control_at_least_once_sends_it_again(
    data_dir: Path, database_url: str, at_most_once: bool
) -> None:
    async with place(data_dir, database_url) as here:
        sinkhole = here.sinkhole
        sinkhole.answers = lambda verb, port: HOLD if verb == "DOT" else ORDINARY
        await here.submit(5, at_most_once=at_most_once)
        await eventually(lambda: len(sinkhole.held) == 5, "all are at their dots")
        await asyncio.to_thread(here.run.kill)
        sinkhole.answers = lambda verb, port: ORDINARY
        sinkhole.held.clear()
        await here.start()
        await eventually(lambda: here.ledger.settled, "all are final", seconds=60)
        assert here.most == (1 if at_most_once else 2)
        reasons = {one.reason for one in here.ledger.final.values()}
        assert reasons == ({UNKNOWN} if at_most_once else {0})
        assert all(one.possible_duplicate for one in here.ledger.final.values())
