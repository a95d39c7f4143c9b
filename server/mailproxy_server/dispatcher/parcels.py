"""Parcels: what goes through one SMTP transaction, and in which order they go. Pure."""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from uuid import UUID

from mailproxy_server.dispatcher.permit import Reserved
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.contents import Content


@dataclass(frozen=True, slots=True)
class Parcel:
    """Recipients of one message, claimed together, that share one transaction.

    `by_age`: it was claimed for its age, whatever its priority, and goes before all others.
    `reserved`: the room in the account's limits that it was claimed for.
    """

    content: Content
    claimed: tuple[Claimed, ...]
    by_age: bool = False
    reserved: Reserved | None = None

    @property
    def rank(self) -> int:
        """Its message's priority; 0 for what goes by age."""
        return 0 if self.by_age else self.claimed[0].priority

    @property
    def due_at(self) -> datetime:
        """When the first of its deliveries became due."""
        return self.claimed[0].due_at


def pack(
    rows: Iterable[Claimed],
    contents: Mapping[UUID, Content],
    most: int,
    by_age: frozenset[UUID] = frozenset(),
    reserved: Reserved | None = None,
) -> Iterator[Parcel]:
    """Put claimed deliveries into parcels of at most `most` recipients, in order.

    Recipients of a message that differ in expiry or round go apart: these belong to the whole
    transaction.
    """
    groups: dict[tuple[object, ...], list[Claimed]] = {}
    for row in rows:
        groups.setdefault((row.message_id, row.expire_at, row.round_at), []).append(row)
    for mine in groups.values():
        message_id = mine[0].message_id
        for start in range(0, len(mine), most):
            part = tuple(mine[start : start + most])
            yield Parcel(contents[message_id], part, message_id in by_age, reserved)


class Rack:
    """Parcels that wait for a connection: priority first, then due time, then submission."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, datetime, int, int, Parcel]] = []
        self._ticket = count()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, parcel: Parcel) -> None:
        """Add one."""
        order = (parcel.rank, parcel.due_at, parcel.content.message_id.int, next(self._ticket))
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
