"""Which connection takes the next transaction: decided at once, from what is known, without I/O.

Pure. The last that came to rest goes first, so that those not needed age and are closed.
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

CHECK_AFTER = 30.0
"""Seconds of rest after which the relay is asked whether it is still there."""


class Resting(Protocol):
    """What is known of a connection at rest."""

    @property
    def usable(self) -> bool:
        """Whether it stands, as far as is known."""
        ...

    @property
    def unfinished(self) -> bool:
        """Whether RSET must come first."""
        ...


S = TypeVar("S", bound=Resting)


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """Connections now open, at work (or opening) and at rest, and how many were ever opened."""

    open: int
    busy: int
    idle: int
    opened: int


@dataclass(frozen=True, slots=True)
class Decision(Generic[S]):
    """Close these; then use `use` (asked first where `ask`), or wait where `wait`, or open one."""

    close: tuple[S, ...] = ()
    use: S | None = None
    ask: bool = False
    wait: bool = False


class Lineup(Generic[S]):
    """Who rests since when, and how many are at work."""

    def __init__(self, limit: int, idle_ttl: float):
        self._limit = limit
        self._idle_ttl = idle_ttl
        self._resting: list[tuple[float, S]] = []
        self.busy = 0

    @property
    def resting(self) -> int:
        """Connections at rest that stand, as far as is known."""
        return sum(session.usable for _, session in self._resting)

    @property
    def next_expiry(self) -> float | None:
        """When the one that has rested longest is to be closed."""
        return self._resting[0][0] + self._idle_ttl if self._resting else None

    def take(self, now: float) -> Decision[S]:
        """Decide for one transaction; what is used or opened counts as busy from now on."""
        close = list(self.expired(now))
        while self._resting:
            since, session = self._resting.pop()
            if session.usable:
                self.busy += 1
                ask = session.unfinished or now - since > CHECK_AFTER
                return Decision(tuple(close), session, ask)
            close.append(session)
        if self.busy < self._limit:
            self.busy += 1
            return Decision(tuple(close))
        return Decision(tuple(close), wait=True)

    def rest(self, session: S, now: float) -> None:
        """A busy one has nothing to do."""
        self.busy -= 1
        self._resting.append((now, session))

    def open(self, wanted: int) -> int:
        """Count as busy, to be opened, what is missing of `wanted` at rest; give how many."""
        missing = min(wanted - self.resting, self._limit - self.busy - len(self._resting))
        self.busy += max(missing, 0)
        return max(missing, 0)

    @property
    def crowded(self) -> bool:
        """Whether more are busy than there may be: who finishes next is not needed any more."""
        return self.busy > self._limit

    def resize(self, limit: int) -> tuple[S, ...]:
        """Let there be at most `limit` from now on; give those at rest that are too many."""
        self._limit = limit
        surplus = min(max(self.busy + len(self._resting) - limit, 0), len(self._resting))
        gone = tuple(session for _, session in self._resting[:surplus])
        del self._resting[:surplus]
        return gone

    def leave(self) -> None:
        """A busy one was closed, or never opened."""
        self.busy -= 1

    def expired(self, now: float) -> tuple[S, ...]:
        """Take out those that rested for their time, or fell meanwhile."""
        count = 0
        for since, session in self._resting:
            if now - since < self._idle_ttl and session.usable:
                break
            count += 1
        gone = tuple(session for _, session in self._resting[:count])
        del self._resting[:count]
        return gone

    def clear(self) -> tuple[S, ...]:
        """Take out all that rest."""
        gone = tuple(session for _, session in self._resting)
        self._resting.clear()
        return gone
