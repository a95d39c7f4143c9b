"""SIGTERM and Ctrl-C drain a run; what does not drain in time is killed, and told apart."""

import os
import signal
import time
from pathlib import Path

import pytest
from mailproxy_server.app.lifeline import MARGIN

from tests.support.serving import Run, left
from tests.support.waiting import until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_exit_code_is_zero(
    lasting_data_dir: Path, number: signal.Signals
) -> None:
    run = Run(lasting_data_dir).ready()
    run.process.send_signal(number)
    assert run.wait() == 0
    assert not left(lasting_data_dir)


def test_a_signal_in_the_middle_of_the_first_start_ends_it(data_dir: Path) -> None:
    run = Run(data_dir)
    until(lambda: (data_dir / "postgres").exists(), "the start is under way")
    assert run.stop() == 0
    assert "Traceback" not in run.err
    until(lambda: not left(data_dir), "nothing is left")


def test_a_child_that_does_not_drain_is_killed_and_the_exit_code_says_so(
    lasting_data_dir: Path,
) -> None:
    odd = {"MAILPROXY_TEST_IDLE": "stubborn", "MAILPROXY_DRAIN_SECONDS": "0"}
    run = Run(lasting_data_dir, environment=odd).ready()
    began = time.monotonic()
    assert run.stop() == 1
    assert time.monotonic() - began < MARGIN + 15
    assert not left(lasting_data_dir)


def test_a_stuck_child_ends_although_its_supervisor_is_gone(lasting_data_dir: Path) -> None:
    odd = {"MAILPROXY_TEST_IDLE": "stubborn", "MAILPROXY_DRAIN_SECONDS": "0"}
    run = Run(lasting_data_dir, environment=odd).ready()
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    until(lambda: not left(lasting_data_dir), "everything ends", seconds=MARGIN + 15)


def test_a_second_signal_does_not_wait(lasting_data_dir: Path) -> None:
    odd = {"MAILPROXY_TEST_IDLE": "stubborn", "MAILPROXY_DRAIN_SECONDS": "600"}
    run = Run(lasting_data_dir, environment=odd).ready()
    run.process.send_signal(signal.SIGINT)
    until(lambda: "draining" in run.err, "draining")
    run.process.send_signal(signal.SIGINT)
    assert run.wait(20) == 1
    assert not left(lasting_data_dir)
