"""The fullest window of what was sent, by exact instants: the judge of limits. Pure."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SPARE = 4096


@dataclass(frozen=True, slots=True)
class Fullest:
    """The first of the windows that held most: where it begins, and how many were in it."""

    begin: datetime | None = None
    count: int = 0


class Sliding:
    """Slides a window of some seconds, both ends included, over instants that are given in order.

    Remembers one window's worth, 16 octets an instant.
    """

    def __init__(self, window: float) -> None:
        self.fullest = Fullest()
        self._window = round(window * 1_000_000)
        self._instants = array("q")
        self._counts = array("q")
        self._begin = 0
        self._inside = 0

    def add(self, instant: datetime, count: int = 1) -> None:
        """So many were sent then; raises ValueError when that was before the last that was told."""
        at = (instant - _EPOCH) // _MICROSECOND
        if self._instants and at < self._instants[-1]:
            raise ValueError("the instants are not in order")
        self._instants.append(at)
        self._counts.append(count)
        self._inside += count
        while at - self._instants[self._begin] > self._window:
            self._inside -= self._counts[self._begin]
            self._begin += 1
        if self._inside > self.fullest.count:
            begin = _EPOCH + self._instants[self._begin] * _MICROSECOND
            self.fullest = Fullest(begin, self._inside)
        if self._begin > _SPARE and self._begin * 2 > len(self._instants):
            del self._instants[: self._begin], self._counts[: self._begin]
            self._begin = 0


def worst(instants: Iterable[datetime], window: float) -> Fullest:
    """Give the fullest window of this many seconds over instants in order."""
    sliding = Sliding(window)
    for instant in instants:
        sliding.add(instant)
    return sliding.fullest
