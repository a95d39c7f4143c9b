"""What tests start hears the signals that they send, also where their own parent ignores these."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import beside
from tests.support.signals import ENDING, heard_by_children


@pytest.fixture(params=ENDING)
def ignored(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that this process ignores, as under nohup."""
    number: signal.Signals = request.param
    before = signal.signal(number, signal.SIG_IGN)
    yield number
    signal.signal(number, before)


def ignores(pid: int, number: signal.Signals) -> bool:
    """Look it up in the kernel."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (mask,) = [line.split()[1] for line in lines if line.startswith("SigIgn:")]
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_a_child_is_ended_by_a_signal_that_we_go_on_ignoring(ignored: signal.Signals) -> None:
    with heard_by_children(), beside("sleep", "600") as child:
        signal.raise_signal(ignored)
        child.send_signal(ignored)
        assert child.wait(30) == -ignored
    assert signal.getsignal(ignored) is signal.SIG_IGN


def test_control_otherwise_it_ignores_what_we_ignore(ignored: signal.Signals) -> None:
    with beside("sleep", "600") as child:
        assert ignores(child.pid, ignored)
