"""Parcels: what goes through one SMTP transaction, and in which order they go. Pure."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from uuid import UUID

from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.contents import Content


@dataclass(frozen=True, slots=True)
class Parcel:
    """Recipients of one message, claimed together, that share one transaction."""

    content: Content
    claimed: tuple[Claimed, ...]

    @property
    def priority(self) -> int:
        """The message's priority."""
        return self.claimed[0].priority

    @property
    def due_at(self) -> datetime:
        """When the first of its deliveries became due."""
        return self.claimed[0].due_at


def pack(rows: Iterable[Claimed], contents: Mapping[UUID, Content], most: int) -> Iterator[Parcel]:
    """Put claimed deliveries into parcels of at most `most` recipients, in order."""
    by_message: dict[UUID, list[Claimed]] = {}
    for row in rows:
        by_message.setdefault(row.message_id, []).append(row)
    for message_id, mine in by_message.items():
        for start in range(0, len(mine), most):
            yield Parcel(contents[message_id], tuple(mine[start : start + most]))


class Rack:
    """Parcels that wait for a connection: priority first, then due time, then submission."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, datetime, int, int, Parcel]] = []
        self._ticket = count()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, parcel: Parcel) -> None:
        """Add one."""
        order = (parcel.priority, parcel.due_at, parcel.content.message_id.int, next(self._ticket))
        heapq.heappush(self._heap, (*order, parcel))

    def take(self) -> Parcel:
        """Take the one that goes next."""
        return heapq.heappop(self._heap)[-1]

    def clear(self) -> list[Claimed]:
        """Take all out; give their deliveries."""
        rows = [row for *_, parcel in self._heap for row in parcel.claimed]
        self._heap.clear()
        return rows

    @property
    def lowest_priority(self) -> int:
        """The priority of the least urgent parcel; 0 when there is none."""
        return max((entry[0] for entry in self._heap), default=0)
