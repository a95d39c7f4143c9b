"""What survives a fork: nothing that belongs to a connection.

A child has none of its parent's threads, its locks may be held by them, and its copy of the
parent's connection must stay untouched. So in the child every owner forgets what it has, and
the old objects are kept alive, since finalizing them would speak on the parent's socket.

gRPC makes a fork safe unless a thread is inside it at that moment, so a fork waits until no
thread is just starting a call. Its own threads, which also run callbacks, it stops itself:
a callback must not take `starting`, or both would wait for each other.
"""

import os
import threading
import weakref
from typing import Protocol


class Forgetful(Protocol):
    """Owns something that a child made by fork must not use."""

    def forget(self) -> list[object]:
        """Begin anew; give what was owned. Runs in the child's only thread."""


starting = threading.RLock()
"""Held while a thread of the caller's starts a call."""

_owners: weakref.WeakSet[Forgetful] = weakref.WeakSet()
_kept: list[object] = []


def forget_after_fork(owner: Forgetful) -> None:
    """Call the owner's `forget` in each child, for as long as it lives."""
    _owners.add(owner)


def _in_child() -> None:
    starting.release()
    for owner in list(_owners):
        _kept.extend(owner.forget())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=starting.acquire, after_in_parent=starting.release, after_in_child=_in_child
    )
