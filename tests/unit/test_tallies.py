"""The folder where a run counts lives as long as one of its processes, and no longer than the
next run's start."""

import subprocess
import sys
from pathlib import Path

from mailproxy_server.app import tallies

from tests.support.programs import beside

RUN = """
import subprocess
from mailproxy_server.app import tallies

with tallies.folder() as (path, lock):
    (path / "counter_front-0.db").touch()
    child = subprocess.Popen(["sleep", "60"], pass_fds=[lock])
    print(path, child.pid, flush=True)
    child.wait()
"""


def others_run() -> None:
    with tallies.folder():
        pass


def test_it_is_gone_with_its_run() -> None:
    with tallies.folder() as (path, _):
        others_run()
        assert path.is_dir()
    assert not path.exists()


def test_what_a_killed_run_left_is_removed_once_its_children_have_ended() -> None:
    with beside(sys.executable, "-c", RUN, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        words = run.stdout.readline().split()
        path, child = Path(words[0]), words[1]
        run.kill()
        run.wait()
        others_run()
        assert [each.name for each in path.iterdir()] == ["counter_front-0.db"]
        subprocess.run(["kill", "-9", child], check=True)
        run.stdout.read()  # ends when the child has
    others_run()
    assert not path.exists()
