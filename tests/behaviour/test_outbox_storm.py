"""What applications commit is sent, and nothing else, whoever is killed meanwhile.

The judges are the application's own table of orders, and the relay.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from tests.support import shop
from tests.support.eventually import eventually
from tests.support.programs import running
from tests.support.replicas import client_of, environment_of
from tests.support.serving import REAL, ROOT, Run, ended_after
from tests.support.sinkhole import Sinkhole
from tests.support.telling import tell

ORDERS = 10_000
KILLS = ["server"] * 5 + ["application"] * 2
STEP = ORDERS // (len(KILLS) + 1)
OPEN_SECONDS = 60
"""For which an application's transaction stays open beside all of it."""

Link: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Application:
    """The shop: it sells up to a limit, and is started again when it was killed."""

    def __init__(self, database_url: str, stack: AsyncExitStack) -> None:
        self._url = database_url
        self._stack = stack
        self._limit = 0

    async def start(self) -> None:
        program = running(
            sys.executable, str(ROOT / "tests/support/shop.py"), self._url, str(ORDERS),
            stdin=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.process = await self._stack.enter_async_context(program)
        self.let_in(0)

    def let_in(self, orders: int) -> None:
        self._limit += orders
        assert self.process.stdin
        self.process.stdin.write(f"{self._limit}\n".encode())

    async def kill(self) -> None:
        assert self.process.returncode is None, "there is something to kill"
        self.process.kill()
        await self.process.wait()
        await self.start()


async def _started(folder: Path, database_url: str) -> Run:
    environment = environment_of(database_url) | {"MAILPROXY_LEASE_SECONDS": "3"}
    run = Run(folder, environment=environment, program=REAL)
    await asyncio.to_thread(run.ready)
    return run


async def _sold(link: Link, orders: int) -> None:
    """Wait until so many were committed."""
    async with asyncio.timeout(120):
        while await link.fetchval("SELECT count(*) FROM public.orders") < orders:
            await asyncio.sleep(0.01)


async def _judge(link: Link, sinkhole: Sinkhole) -> None:
    committed = {row[0] for row in await link.fetch("SELECT number FROM public.orders")}
    assert committed == {n for n in range(1, ORDERS + 1) if shop.wanted(n)}

    right = {shop.address(number) for number in committed}
    await eventually(lambda: len(_mailed(sinkhole)) >= len(right), "all are mailed", seconds=120)
    assert _mailed(sinkhole) == right
    messages = Counter(recipient for _, recipient in sinkhole.copies)
    assert max(messages.values()) == 1, "each order is queued as one message"
    tell(f"{len(right)} orders, {sinkhole.dots - len(sinkhole.copies)} dots repeated")


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_exactly_the_committed_orders_are_mailed(data_dir: Path, database_url: str) -> None:
    kills = KILLS.copy()
    random.Random(7).shuffle(kills)
    async with AsyncExitStack() as stack:
        sinkhole = await stack.enter_async_context(Sinkhole())
        stack.enter_context(ended_after(data_dir))
        run = await _started(data_dir, database_url)
        async with client_of(run) as client:
            await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        link, held = [await asyncpg.connect(database_url) for _ in range(2)]
        stack.push_async_callback(link.close)
        stack.push_async_callback(held.close)
        await link.execute("CREATE TABLE public.orders (number integer PRIMARY KEY)")
        began = time.monotonic()
        await held.execute("BEGIN")
        await shop.order_within(held, 0)

        application = Application(database_url, stack)
        await application.start()
        for number, what in enumerate(kills):
            application.let_in(STEP)
            await _sold(link, (number * STEP + STEP // 2) * 2 // 3)
            if what == "server":
                await asyncio.to_thread(run.kill)
                run = await _started(data_dir, database_url)
            else:
                await application.kill()
        application.let_in(ORDERS)
        assert await application.process.wait() == 0
        await _judge(link, sinkhole)

        await asyncio.sleep(began + OPEN_SECONDS - time.monotonic())
        await held.execute("COMMIT")
        await eventually(lambda: shop.address(0) in _mailed(sinkhole), "the long one's is mailed")
        await asyncio.to_thread(run.stop)


def _mailed(sinkhole: Sinkhole) -> set[str]:
    return {recipient for _, recipient in sinkhole.copies}
