"""Owns the folder in memory where the processes of a run count.

Its lock is held by whoever was given the fd: when all of them were killed, the next run on this
machine finds it free, and removes the folder.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "mailproxy-metrics-"


@contextlib.contextmanager
def folder() -> Iterator[tuple[Path, int]]:
    """Make a run's folder, and give the fd that holds it; those of dead runs are removed."""
    parent = _in_memory() or Path(tempfile.gettempdir())
    for dead in parent.glob(_PREFIX + "*"):
        with contextlib.suppress(OSError), _locked(dead):  # a living one's, or another user's
            shutil.rmtree(dead, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=".mailproxy-", dir=parent))
    with _locked(fresh) as fd:  # before it has the name by which it may be removed
        made = fresh.rename(parent / (_PREFIX + fresh.name.rpartition("-")[2]))
        try:
            yield made, fd
        finally:
            shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold the lock of a folder; raises OSError where somebody else does, or may not be asked."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield fd
    finally:
        os.close(fd)


def _in_memory() -> Path | None:
    """Give where files are in memory; None where there is no such place.

    These files are written a thousand times a second. On the disk that PostgreSQL flushes to, each
    flush would take them along, and mail would go at four fifths of its rate.
    """
    shared = Path("/dev/shm")  # noqa: S108 - the folder made there is for us alone
    return shared if shared.is_dir() and os.access(shared, os.W_OK) else None
