"""A database that stands still, or is away, costs nothing but time while every dispatcher is alive.

Two dispatchers, and a lease that is shorter than the outage: nobody is declared dead for heartbeats
that nobody could give, and what was sent before is written after.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from mailproxy import Message
from mailproxy.v1.delivery_pb2 import FAILURE_REASON_INTERRUPTED

from tests.support.eventually import eventually
from tests.support.postgres import open_folder
from tests.support.postgres_alone import Alone, postgres_alone
from tests.support.replicas import client_of, replica
from tests.support.serving import ROOT
from tests.support.sinkhole import Sinkhole

pytestmark = [pytest.mark.needs_debian("postgresql-15"), pytest.mark.long]
LATE = ("-P", str(ROOT / "tests/support/serve_hasty.py"))
LEASE = 3
OUTAGE = 8
MAILS = 2000
Outage = Callable[[Alone], AbstractAsyncContextManager[None]]
SETTINGS = {"lease_seconds": LEASE, "statement_timeout_seconds": 4}


@asynccontextmanager
async def frozen(server: Alone) -> AsyncIterator[None]:
    """It neither answers nor breaks off."""
    with server.frozen():
        yield


@asynccontextmanager
async def gone(server: Alone) -> AsyncIterator[None]:
    """It is killed, and comes up again."""
    await server.crash()
    yield
    await server.start()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("outage", "by_clock"),
    [(frozen, False), (gone, False), (gone, True)],
    ids=["frozen", "gone", "control: gone, and judged by the clock"],
)
async def test_an_outage_longer_than_the_lease_sends_nothing_twice(
    data_dir: Path, outage: Outage, by_clock: bool
) -> None:
    """Also where heartbeats come back late, as they do in both arms. In the control the dispatchers
    take one another's mail as soon as the clock says so."""
    data_dir.mkdir()
    with open_folder() as folder:
        async with postgres_alone(folder) as server, Sinkhole() as sinkhole:
            url = await server.make_database("mail")
            dispatcher = ("--role", "dispatcher")
            variables = {"MAILPROXY_TEST_BY_CLOCK": "1"} if by_clock else {}
            given = {"settings": SETTINGS, "program": LATE, "variables": variables}
            async with (
                replica(data_dir, url, **given) as first,  # type: ignore[arg-type]
                replica(data_dir, url, *dispatcher, **given),  # type: ignore[arg-type]
                client_of(first, timeout=120) as client,
            ):
                await client.create_account(
                    "demo", host="127.0.0.1", port=sinkhole.port, tls="none", limits=("300/s",)
                )
                letters = [
                    Message(from_address="a@a.test", to="b@b.test", text=f"{number}\n")
                    for number in range(MAILS)
                ]
                reports = client.delivery_reports()
                await client.submit_many(letters)
                await eventually(lambda: sinkhole.dots > MAILS // 5, "mail flows", seconds=60)
                async with outage(server):
                    over = time.monotonic() + OUTAGE
                    await eventually(lambda: time.monotonic() > over, "it took that long")
                final = doubtful = interrupted = 0
                async with asyncio.timeout(120):
                    async for report in reports:
                        final += report.final
                        doubtful += report.possible_duplicate
                        interrupted += report.reason == FAILURE_REASON_INTERRUPTED
                        if final == MAILS:
                            break
            copies = sum(sinkhole.copies.values()) - MAILS
            if by_clock:
                assert interrupted > 0
                assert doubtful > 0
            else:
                assert (copies, doubtful, interrupted) == (0, 0, 0)
