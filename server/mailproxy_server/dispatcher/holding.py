"""What a lane holds: a delivery is its own from its claim until its outcome is written. Pure."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from mailproxy_server.queue.claim import Claimed

Fence = tuple[UUID, int, int]
"""Message, recipient, claim: one holding of one delivery."""


def fence(row: Claimed) -> Fence:
    """Give what tells this holding of a delivery from all others."""
    return row.message_id, row.recipient_no, row.claim_no


class Holding:
    """The deliveries of one lane.

    `count` of them wait for their attempt or are in it; `apart` wait for their files. `unread`
    have not been read yet; `returned` go back to the queue as they were.
    """

    def __init__(self) -> None:
        self.count = 0
        self.apart = 0
        self.unread: list[Claimed] = []
        self.returned: list[Claimed] = []
        self._ours: set[Fence] = set()

    def take(self, rows: Iterable[Claimed]) -> None:
        """These are ours from now on; those known already are left as they are."""
        fresh = [row for row in rows if fence(row) not in self._ours]
        self._ours.update(map(fence, fresh))
        self.count += len(fresh)
        self.unread += fresh

    def read(self) -> list[Claimed]:
        """Take out what was unread."""
        rows, self.unread = self.unread, []
        return rows

    def attempted(self, count: int) -> None:
        """The attempts of `count` deliveries are over; their outcomes are still to be written."""
        self.count -= count

    def give_back(self, rows: Sequence[Claimed]) -> None:
        """Nothing was tried for these: they shall be released."""
        self.count -= len(rows)
        self.returned += rows

    def set_apart(self, count: int) -> None:
        """So many wait for their files, and take no room meanwhile; negative: they do no more."""
        self.count -= count
        self.apart += count

    def released(self, rows: Sequence[Claimed]) -> None:
        """These are in the queue again."""
        self.returned = [row for row in self.returned if row not in rows]
        self._ours.difference_update(map(fence, rows))

    def settled(self, row: Claimed) -> None:
        """Its outcome is written, or somebody else's was."""
        self._ours.discard(fence(row))
