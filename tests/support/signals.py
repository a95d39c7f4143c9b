"""Signals as programs expect them, whoever started the tests."""

import contextlib
import signal
from collections.abc import Iterator

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def heard_by_children() -> Iterator[None]:
    """Have the processes that are started meanwhile hear signals that our own parent ignores, as
    nohup and a shell's background jobs do.

    What is ignored stays ignored over an exec, what has a handler does not. So we go on ignoring
    it by a handler that does nothing.
    """
    ignored = [number for number in ENDING if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
