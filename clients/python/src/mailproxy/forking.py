"""What a fork of the process does to the threaded client, and how it survives it.

A child has none of its parent's threads, its locks may be held by them, and its copy of the
parent's connection must stay untouched. So in the child every owner forgets what it has, and
the old objects are kept alive, since finalizing them would speak on the parent's socket.

gRPC itself comes through a fork whole only when no thread is inside it. So a fork first lets
the calls that are under way end, for up to `PATIENCE`, while no new ones start. A stream
of reports that another thread reads is not waited for.
"""

import os
import threading
import weakref
from typing import Protocol

PATIENCE = 1.0
"""Seconds that a fork waits for calls that are under way."""


class Survivor(Protocol):
    """Owns something that a child made by fork must not use."""

    def forget(self) -> list[object]:
        """Begin anew; give what was owned. Runs in the child's only thread."""

    def resume(self) -> None:
        """Go on in the parent."""


class _Calls:
    """Counts the calls that are under way in this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._forking = False

    def begin(self, *, wait: bool = True) -> bool:
        """Count a call that is about to start; during a fork, wait or give False."""
        with self._changed:
            if self._forking and not wait:
                return False
            self._changed.wait_for(lambda: not self._forking)
            self._count += 1
            return True

    def end(self) -> None:
        """Note that a call is over."""
        with self._changed:
            self._count -= 1
            if not self._count:
                self._changed.notify_all()

    def before_fork(self) -> None:
        with self._changed:
            self._forking = True
            self._changed.wait_for(lambda: not self._count, PATIENCE)

    def after_fork(self) -> None:
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    def forget(self) -> None:
        self._changed, self._count, self._forking = threading.Condition(), 0, False


calls = _Calls()
_owners: weakref.WeakSet[Survivor] = weakref.WeakSet()
_kept: list[object] = []


def survive_forks(owner: Survivor) -> None:
    """Tell the owner of each fork, for as long as it lives."""
    _owners.add(owner)


def _in_parent() -> None:
    calls.after_fork()
    for owner in list(_owners):
        owner.resume()


def _in_child() -> None:
    calls.forget()
    for owner in list(_owners):
        _kept.extend(owner.forget())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=calls.before_fork, after_in_parent=_in_parent, after_in_child=_in_child
    )
