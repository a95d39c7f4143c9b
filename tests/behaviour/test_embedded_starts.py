"""The embedded PostgreSQL starts from whatever an earlier end left behind."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from mailproxy_server.app.embedded import Embedded
from mailproxy_server.app.owner import owned
from mailproxy_server.app.place import Place, prepare

from tests.support.programs import beside, running


@pytest.fixture(scope="module")
def place(lasting_data_dir: Path) -> Place:
    lasting_data_dir.mkdir()
    lasting_data_dir.chmod(0o711)
    return prepare(lasting_data_dir)


@pytest.fixture
async def embedded(place: Place) -> AsyncIterator[Embedded]:
    embedded = Embedded(place)
    yield embedded
    await embedded.stop()


@pytest.fixture
def zombie() -> Iterator[int]:
    with beside(sys.executable, "-c", "") as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield process.pid


async def started_at(embedded: Embedded) -> object:
    connection = await asyncpg.connect(embedded.url)
    try:
        return await connection.fetchval("SELECT pg_postmaster_start_time()")
    finally:
        await connection.close()


async def test_it_answers_on_a_socket_of_its_own_and_on_no_port(embedded: Embedded) -> None:
    await embedded.start()
    connection = await asyncpg.connect(embedded.url)
    assert await connection.fetchval("SHOW listen_addresses") == ""
    assert await connection.fetchval("SHOW fsync") == "on"
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    await connection.close()


async def test_a_zombie_named_by_a_stale_pid_file_is_not_taken_for_a_server(
    embedded: Embedded, place: Place, zombie: int
) -> None:
    await embedded.start()
    await embedded.stop()
    (place.data / "postmaster.pid").write_text(f"{zombie}\n{place.data}\n")
    (place.sockets / ".s.PGSQL.5432.lock").write_text(f"{zombie}\n")
    again = Embedded(place)
    try:
        await again.start()
        assert await started_at(again)
    finally:
        await again.stop()


async def test_one_that_still_runs_is_adopted_and_stopped_in_the_end(
    embedded: Embedded, place: Place
) -> None:
    async with _orphan(embedded, place) as orphan:
        before = await started_at(embedded)
        await embedded.start()
        assert await started_at(embedded) == before
        await embedded.stop()
        assert await asyncio.wait_for(orphan.wait(), 10) == 0


@asynccontextmanager
async def _orphan(embedded: Embedded, place: Place) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run PostgreSQL on the cluster with nobody to watch it."""
    first = Embedded(place)  # makes the cluster, if no test before this one has
    await first.start()
    await first.stop()
    async with running(
        place.programs / "postgres", "-D", place.data, "--listen_addresses=",
        f"--unix_socket_directories={place.sockets}",
        stderr=subprocess.DEVNULL, cwd="/", **owned(place.owner),
    ) as orphan:  # fmt: skip
        async with asyncio.timeout(20):
            while not await _answers(embedded):
                await asyncio.sleep(0.02)
        yield orphan


async def _answers(embedded: Embedded) -> bool:
    try:
        await started_at(embedded)
    except (OSError, asyncpg.PostgresError):
        return False
    return True


async def test_a_half_made_cluster_is_made_again(data_dir: Path) -> None:
    data_dir.mkdir()
    data_dir.chmod(0o711)
    place = prepare(data_dir)
    (place.folder / "data.new").mkdir()
    (place.folder / "data.new/PG_VERSION").write_text("18\n")
    embedded = Embedded(place)
    await embedded.start()
    assert await started_at(embedded)
    await embedded.stop()
