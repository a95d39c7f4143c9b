"""When the supervisor is killed -9 nothing stays behind, and the next start has everything."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.serving import Run, left, starts
from tests.support.waiting import until


@pytest.mark.parametrize("also", [None, "-IS", "bin/postgres -D"])
def test_a_killed_supervisor_takes_everything_with_it(
    lasting_data_dir: Path, also: str | None
) -> None:
    run = Run(lasting_data_dir).ready()
    if also:
        run.kill_one(also)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    until(lambda: not left(lasting_data_dir), "children, watcher and PostgreSQL end", seconds=20)


async def test_a_start_right_after_it_waits_for_what_is_left(lasting_data_dir: Path) -> None:
    first = Run(lasting_data_dir).ready()
    before = await starts(lasting_data_dir)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = Run(lasting_data_dir).ready()
    assert (await starts(lasting_data_dir))[: len(before)] == before
    assert second.stop() == 0


async def test_after_everything_was_killed_the_next_start_has_it_all(
    lasting_data_dir: Path,
) -> None:
    first = Run(lasting_data_dir).ready()
    before = await starts(lasting_data_dir)
    first.kill()
    second = Run(lasting_data_dir).ready()
    assert (await starts(lasting_data_dir))[: len(before)] == before
    assert second.stop() == 0
    assert not left(lasting_data_dir)
