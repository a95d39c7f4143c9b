"""Whatever part of a run is killed -9, the run heals, and ends whole in the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import Run, left, line_of, starts
from tests.support.waiting import until


@pytest.fixture(scope="module")
def run(lasting_data_dir: Path) -> Iterator[Run]:
    run = Run(lasting_data_dir).ready()
    yield run
    assert run.stop() == 0
    assert not left(run.data_dir)


@pytest.mark.parametrize("child", [" front 0 ", " dispatcher 1 "])
async def test_a_killed_child_is_started_again(run: Run, child: str) -> None:
    before = len(await starts(run.data_dir))
    killed = run.kill_one(child)
    pid = until(lambda: run.pid_of(child) not in (killed, None) and run.pid_of(child), "another")
    while pid not in (await starts(run.data_dir))[before:]:
        assert run.process.poll() is None


async def test_a_killed_postgres_is_brought_back_with_what_was_committed(run: Run) -> None:
    before = await starts(run.data_dir)
    backs = run.err.count("PostgreSQL is back")
    killed = run.kill_one("bin/postgres -D")
    until(lambda: run.err.count("PostgreSQL is back") > backs, "PostgreSQL is back")
    assert run.pid_of("bin/postgres -D") != killed
    assert (await starts(run.data_dir))[: len(before)] == before


async def test_a_killed_watcher_leaves_no_second_postgres(run: Run) -> None:
    backs = run.err.count("PostgreSQL is back")
    run.kill_one("-IS")
    until(lambda: run.err.count("PostgreSQL is back") > backs, "PostgreSQL is back")
    assert (
        len([p for p in left(run.data_dir) if "bin/postgres" in line_of(p).partition(" ")[0]]) == 1
    )
    assert await starts(run.data_dir)
