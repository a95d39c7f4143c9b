"""Health, readiness and gmp_database_up tell the truth about the database."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from mailproxy_server.app.database_probe import DatabaseProbe
from mailproxy_server.queue.hot import connection, open_pool
from mailproxy_server.queue.migrations import upgrade

from tests.support.between import between
from tests.support.calling import Caller
from tests.support.diagnosing import doctor
from tests.support.edge import refusal_of
from tests.support.emails import composed
from tests.support.healthy import said_by, until_said
from tests.support.postgres import Cluster, open_folder
from tests.support.postgres_alone import postgres_alone
from tests.support.small_disk import database_on_a_small_disk
from tests.support.watched import Watched, watched_on

GONE = "not serving: database: it cannot be reached\n"
READ_ONLY = "SET default_transaction_read_only = on"


@pytest.fixture
async def watched(database_url: str) -> AsyncIterator[Watched]:
    async with watched_on(database_url, statement_timeout_seconds=2) as one:
        await one.front.first.make_account()
        await until_said(one, lambda said: said.serving)
        yield one


async def database_is(watched: Watched, setting: str) -> None:
    """Change the database's setting for sessions to come, and end those that there are."""
    name = await watched.front.link.fetchval("SELECT quote_ident(current_database())")
    await watched.front.link.execute(f"ALTER DATABASE {name} {setting}")
    await watched.front.link.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


async def test_a_read_only_database_is_not_ready_until_it_takes_writes_again(
    watched: Watched,
) -> None:
    await database_is(watched, READ_ONLY)
    said = await until_said(watched, lambda said: said.not_serving)
    assert (said.alive, said.why) == (200, "not serving: database: it is read-only\n")
    found = await doctor(watched.front.url).says()
    assert "read-only" in found["read_only_database"]["words"]
    # Nobody ends its sessions: each of them would stay read-only.
    name = await watched.front.link.fetchval("SELECT quote_ident(current_database())")
    await watched.front.link.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await until_said(watched, lambda said: said.serving)
    assert (await watched.front.first.submit()).message_id


async def test_watchers_are_told_of_each_change(watched: Watched) -> None:
    stub: Any = HealthStub(watched.front.first.channel)
    call = stub.Watch(health_pb2.HealthCheckRequest())
    words = health_pb2.HealthCheckResponse
    async with asyncio.timeout(30):
        assert (await call.read()).status == words.SERVING
        await database_is(watched, READ_ONLY)
        assert (await call.read()).status == words.NOT_SERVING
        await database_is(watched, "RESET default_transaction_read_only")
        assert (await call.read()).status == words.SERVING
    call.cancel()


async def test_a_wire_that_swallows_all_is_not_ready_and_one_that_is_mended_is(
    database_url: str,
) -> None:
    async with (
        between(database_url) as wire,
        watched_on(database_url, wire.url, statement_timeout_seconds=2) as watched,
    ):
        await until_said(watched, lambda said: said.serving)
        wire.freeze()
        said = await until_said(watched, lambda said: said.not_serving)
        assert said.alive == 200
        assert said.why == "not serving: database: it does not answer in time\n"
        await wire.restore()
        await until_said(watched, lambda said: said.serving)


async def test_a_postgresql_that_is_frozen_or_gone_is_not_ready_until_it_is_back() -> None:
    with open_folder() as folder:
        async with postgres_alone(folder) as server:
            url = await server.make_database("mail")
            await upgrade(url)
            async with watched_on(url, statement_timeout_seconds=2) as watched:
                await watched.front.first.make_account()
                await until_said(watched, lambda said: said.serving)
                with server.frozen():
                    said = await until_said(watched, lambda said: said.not_serving)
                    assert "does not answer in time" in said.why
                await until_said(watched, lambda said: said.serving)
                await server.stop()
                said = await until_said(watched, lambda said: said.not_serving)
                assert (said.alive, said.why) == (200, GONE)
                await server.start()
                await until_said(watched, lambda said: said.serving)
                assert (await watched.front.first.submit()).message_id


async def test_a_full_disk_is_not_ready_once_a_write_was_refused(postgres: Cluster) -> None:
    async with (
        database_on_a_small_disk(postgres) as disk,
        watched_on(disk.url, statement_timeout_seconds=2) as watched,
    ):
        await watched.front.first.make_account()
        disk.fill()
        assert (await said_by(watched)).serving, "nobody has met it"
        assert await refused_by_a_full_disk(watched.front.first) == "DATABASE_UNAVAILABLE"
        said = await until_said(watched, lambda said: said.not_serving)
        assert said.why == "not serving: database: its disk is full\n"
        disk.empty()
        await until_said(watched, lambda said: said.serving)
        assert (await watched.front.first.submit()).message_id


async def refused_by_a_full_disk(caller: Caller) -> str:
    """Submit until the pages that were there are full; give the reason of the refusal."""
    async with asyncio.timeout(60):
        while True:
            try:
                await caller.submit(composed(text_body="x" * 20_000))
            except grpc.aio.AioRpcError as error:
                return refusal_of(error).reason


async def test_one_failure_is_an_accident_and_two_are_not(database_url: str) -> None:
    told: list[bool] = []
    pool = await open_pool(database_url, size=2, statement_timeout=5)
    probe = DatabaseProbe(pool, told.append, every_seconds=60)
    try:
        looks = await lost_looks(probe, pool, database_url, 1)
        assert (looks, told) == ([""], [])
        looks = await lost_looks(probe, pool, database_url, 2)
        assert looks[-1] != ""
        assert (probe.why_not, told) == ("", [False, True])
    finally:
        await pool.close()


async def lost_looks(probe: DatabaseProbe, pool: Any, url: str, count: int) -> list[str]:
    """Look so often over a session that is lost under the probe; give what it holds after each.
    Then look once more, when all is well again."""
    name = url.split("?")[0].rsplit("/", 1)[1]
    link = await asyncpg.connect(url.replace(f"/{name}", "/postgres"))
    found = []
    try:
        await link.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        for _ in range(count):
            await link.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
            )
            await probe.look()
            found.append(probe.why_not)
    finally:
        await link.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        await link.close()
    await probe.look()
    return found


async def test_control_a_probe_that_replaces_no_pool_stays_on_a_server_that_is_read_only_no_more(
    database_url: str,
) -> None:
    """The sessions of an idle server would be read-only for ever."""
    pool = await open_pool(database_url, size=1, statement_timeout=5)
    async with connection(pool) as link:
        await link.execute("SET default_transaction_read_only = on")
    replacing, held = DatabaseProbe(pool), DatabaseProbe(pool)
    pool._replaced = float("inf")  # the mechanism, switched off
    for _ in range(3):
        await held.look()
    assert held.why_not == "it is read-only"
    del pool._replaced
    for _ in range(3):
        await replacing.look()
    assert replacing.why_not == ""
    await pool.close()
