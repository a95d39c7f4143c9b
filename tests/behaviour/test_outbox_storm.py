"""What applications commit is sent, and nothing else, whoever is killed meanwhile."""

import asyncio
import random
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from tests.support import shop
from tests.support.eventually import eventually
from tests.support.replicas import client_of, environment_of
from tests.support.serving import REAL, ROOT, Run, ended_after
from tests.support.sinkhole import Sinkhole
from tests.support.telling import tell

ORDERS = 10_000
SERVER_KILLS, APPLICATION_KILLS = 5, 2


async def _start_shop(database_url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "tests/support/shop.py"), database_url, str(ORDERS),
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


async def _started(folder: Path, database_url: str) -> Run:
    environment = environment_of(database_url) | {"MAILPROXY_LEASE_SECONDS": "3"}
    run = Run(folder, environment=environment, program=REAL)
    await asyncio.to_thread(run.ready)
    return run


async def _dots(sinkhole: Sinkhole, goal: int) -> None:
    await eventually(lambda: sinkhole.dots >= goal, "mail flows", seconds=120)


async def _judge(link: "asyncpg.Connection[asyncpg.Record]", sinkhole: Sinkhole) -> None:
    committed = {row[0] for row in await link.fetch("SELECT number FROM public.orders")}
    assert committed == {n for n in range(1, ORDERS + 1) if shop.wanted(n)}

    def mailed() -> set[str]:
        return {recipient for _, recipient in sinkhole.copies}

    right = {shop.address(number) for number in committed}
    await eventually(lambda: len(mailed()) >= len(right), "all are mailed", seconds=120)
    assert mailed() == right
    messages = Counter(recipient for _, recipient in sinkhole.copies)
    assert max(messages.values()) == 1, "each order is queued as one message"
    tell(f"{len(right)} orders, {sinkhole.dots - len(sinkhole.copies)} dots repeated")


@pytest.mark.timeout(400)
async def test_exactly_the_committed_orders_are_mailed(data_dir: Path, database_url: str) -> None:
    chance = random.Random(7)
    async with AsyncExitStack() as stack:
        sinkhole = await stack.enter_async_context(Sinkhole())
        stack.enter_context(ended_after(data_dir))
        run = await _started(data_dir, database_url)
        async with client_of(run) as client:
            await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        link = await asyncpg.connect(database_url)
        stack.push_async_callback(link.close)
        await link.execute("CREATE TABLE public.orders (number integer PRIMARY KEY)")
        open_one = await asyncpg.connect(database_url)
        stack.push_async_callback(open_one.close)
        await open_one.execute("BEGIN; SELECT mailproxy.submit('{}'::json)")

        application = await _start_shop(database_url)
        kills = ["server"] * SERVER_KILLS + ["application"] * APPLICATION_KILLS
        chance.shuffle(kills)
        for number, kill in enumerate(kills, 1):
            goal = ORDERS * number // (len(kills) + 2) // 2
            await _dots(sinkhole, goal)
            if kill == "server":
                await asyncio.to_thread(run.kill)
                run = await _started(data_dir, database_url)
            elif application.returncode is None:
                application.kill()
                await application.wait()
                application = await _start_shop(database_url)
        assert await application.wait() == 0
        await _judge(link, sinkhole)
        await open_one.execute("ROLLBACK")
        await asyncio.to_thread(run.stop)
