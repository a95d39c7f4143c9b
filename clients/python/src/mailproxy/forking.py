"""What a fork of the process does to the threaded client, and how it survives it.

A child has none of its parent's threads, its locks may be held by them, and its copy of the
parent's connection must stay untouched. So in the child every owner forgets what it has, and
the old objects are kept alive, since finalizing them would speak on the parent's socket.

gRPC itself comes through a fork whole only when no thread is inside it. So a fork first lets
the calls that are under way end, for up to `PATIENCE`, while no new ones start. Streams are
interrupted; they resume by themselves.
"""

import os
import threading
import weakref

PATIENCE = 1.0
"""Seconds that a fork waits for calls that are under way."""


class Survivor:
    """Owns something that a child made by fork must not use."""

    def interrupt(self) -> None:
        """End what does not end by itself. Runs before the fork."""

    def resume(self) -> None:
        """Go on. Runs in the parent, after the fork."""

    def forget(self) -> list[object]:
        """Begin anew; give what was owned. Runs in the child's only thread."""
        return []


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

    def stop(self) -> None:
        """Let no call begin."""
        with self._changed:
            self._forking = True

    def drain(self) -> None:
        """Wait until none is under way, within `PATIENCE`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count, PATIENCE)

    def go_on(self) -> None:
        """Let calls begin again."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    def forget(self) -> None:
        """Begin anew in a child."""
        self._changed, self._count, self._forking = threading.Condition(), 0, False


class _Owners:
    """Those that are told of a fork, for as long as they live."""

    def __init__(self) -> None:
        self._all: weakref.WeakSet[Survivor] = weakref.WeakSet()
        self._adding = threading.Lock()
        self._told: list[Survivor] = []
        self._kept: list[object] = []

    def add(self, owner: Survivor) -> None:
        with self._adding:
            self._all.add(owner)

    def before(self) -> None:
        with self._adding:
            self._told = list(self._all)
        calls.stop()
        for owner in self._told:
            owner.interrupt()
        calls.drain()

    def in_parent(self) -> None:
        calls.go_on()
        for owner in self._told:
            owner.resume()
        self._told = []

    def in_child(self) -> None:
        calls.forget()
        self._adding = threading.Lock()
        for owner in self._told:
            self._kept.extend(owner.forget())
        self._told = []


calls = _Calls()
_owners = _Owners()


def survive_forks(owner: Survivor) -> None:
    """Tell the owner of each fork, for as long as it lives."""
    _owners.add(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_owners.before,
        after_in_parent=_owners.in_parent,
        after_in_child=_owners.in_child,
    )
