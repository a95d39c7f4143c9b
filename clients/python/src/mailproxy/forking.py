"""What survives a fork: nothing that belongs to a connection.

A child has none of its parent's threads, its locks may be held by them, and its copy of the
parent's connection must stay untouched. So in the child every owner forgets what it has, and
the old objects are kept alive, since finalizing them would speak on the parent's socket.
"""

import os
import weakref
from typing import Protocol


class Forgetful(Protocol):
    """Owns something that a child made by fork must not use."""

    def forget(self) -> list[object]:
        """Begin anew; give what was owned. Runs in the child's only thread."""


_owners: weakref.WeakSet[Forgetful] = weakref.WeakSet()
_kept: list[object] = []


def forget_after_fork(owner: Forgetful) -> None:
    """Call the owner's `forget` in each child, for as long as it lives."""
    _owners.add(owner)


def _in_child() -> None:
    for owner in list(_owners):
        _kept.extend(owner.forget())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
