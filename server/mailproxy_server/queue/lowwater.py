"""Where a claim starts to read: low-water bounds, one a priority, of one account.

Everything due before its bound was claimed by somebody, so dead index entries behind it cost
nothing, even when an old transaction keeps vacuum from removing them. Pure: instants come from the
database. The periodic sweep, which starts from the beginning, finds what a bound passed over: a
commit that came very late, or a claim that was rolled back. Where the clock of the database was set
back, the lane drops all of them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from mailproxy_server.mail.delivery import Priority

PRIORITIES = tuple(Priority)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""A bound that leaves a priority out."""


class LowWater:
    """The bounds of one lane.

    `margin` is how far a bound stays behind the present: at least the time that an intake
    statement may take, since its rows become visible that much after they became due.
    """

    def __init__(self, margin: timedelta) -> None:
        self._margin = margin
        self._bounds = [BEGINNING] * len(PRIORITIES)

    @property
    def bounds(self) -> Sequence[datetime]:
        """The bounds, from IMMEDIATE to LOW."""
        return self._bounds

    def reset(self) -> None:
        """Start from the beginning again."""
        self._bounds = [BEGINNING] * len(PRIORITIES)

    def lower(self, priority: int, due_at: datetime) -> None:
        """A delivery went back to the queue with its old due time."""
        index = PRIORITIES.index(Priority(priority))
        self._bounds[index] = min(self._bounds[index], due_at)

    def exhausted(self, now: datetime) -> None:
        """A claim at `now` took everything that was due."""
        for index in range(len(PRIORITIES)):
            self._raise(index, now - self._margin)

    def taken(self, now: datetime, priority: int, due_at: datetime) -> None:
        """A claim at `now` was filled; the last it took had this priority and due time."""
        last = PRIORITIES.index(Priority(priority))
        for index in range(last):
            self._raise(index, now - self._margin)
        self._raise(last, min(due_at, now - self._margin))

    def _raise(self, index: int, bound: datetime) -> None:
        self._bounds[index] = max(self._bounds[index], bound)
