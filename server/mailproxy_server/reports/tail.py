"""The tail: one reader a replica that gives new reports to all who follow a tenant.

Woken by a hint, with a poll behind it. Keeps a ring of a tenant's newest reports while
somebody follows it; who is behind the ring reads pages from the database instead. Where the log
turns out to be another one (a failover, a restore), the ring is emptied and who follows looks anew.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
from mailproxy.v1.delivery_pb2 import DeliveryReport

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import read
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.lineage import Head
from mailproxy_server.reports.cursor import Cursor
from mailproxy_server.reports.wire import to_wire

RING = 2_000
PAGE = 500


@dataclass(slots=True, eq=False)
class Place:
    """How far one stream is: what it was given last, and when that was recorded."""

    offset: int
    at: datetime | None = None


@dataclass(slots=True, eq=False)
class Feed:
    """What the tail holds of one tenant: its newest reports, without a gap, and how far it is."""

    tenant_id: UUID
    head: Head
    """As it was read last: when the feed began, and when its log changed."""
    cursor: Cursor
    ring: deque[DeliveryReport] = field(default_factory=lambda: deque(maxlen=RING))
    places: set[Place] = field(default_factory=set)
    behind: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    reader: asyncio.Task[None] | None = None
    renewing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def check(self) -> None:
        """Raise what its reader has failed with, by a fault of ours: nothing more will come."""
        if self.reader is not None and self.reader.done() and not self.reader.cancelled():
            self.reader.result()

    def wake(self) -> None:
        """Wake who waits for it to move on."""
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()

    def since(self, offset: int) -> Sequence[DeliveryReport] | None:
        """Give what follows `offset`; None when the ring does not reach back that far."""
        missing = self.cursor.offset - offset
        if missing <= 0:
            return ()
        if missing > len(self.ring):
            return None
        return [self.ring[index] for index in range(len(self.ring) - missing, len(self.ring))]

    def lag(self, now: datetime) -> float:
        """Give the seconds since the oldest report was recorded that a stream was not given.

        Of a stream that is behind the ring it is the time since what it was given last.
        """
        lags = [0.0]
        for place in self.places:
            missing = self.cursor.offset - place.offset
            if missing <= 0:
                continue
            inside = missing <= len(self.ring)
            next_one = self.ring[-missing] if inside else self.ring[0] if self.ring else None
            next_at = next_one.event_time.ToDatetime(UTC) if next_one else now
            lags.append(
                (now - (next_at if inside or place.at is None else place.at)).total_seconds()
            )
        return max(lags)


class Tail:
    """The feeds of a replica."""

    def __init__(self, pool: Pool, poll_seconds: float = 1.0) -> None:
        self._pool = pool
        self._poll_seconds = poll_seconds
        self._feeds: dict[UUID, Feed] = {}

    def hint(self, lines: Sequence[str]) -> None:
        """Reports of these tenants were written; none named: anybody's."""
        for tenant_id in map(UUID, lines) if lines else list(self._feeds):
            if feed := self._feeds.get(tenant_id):
                feed.behind.set()

    def lags(self) -> dict[UUID, float]:
        """Give how far the streams of each tenant that is followed are behind, in seconds."""
        now = datetime.now(UTC)
        return {tenant_id: feed.lag(now) for tenant_id, feed in self._feeds.items()}

    async def follow(self, tenant_id: UUID, offset: int) -> tuple[Feed, Place]:
        """Begin to follow a tenant after an offset; each call is ended by one of `leave`."""
        if tenant_id not in self._feeds:
            async with borrowed(self._pool) as link:
                head = await read.head(link, tenant_id)
            if tenant_id not in self._feeds:  # another follower may have come meanwhile
                feed = self._feeds[tenant_id] = Feed(tenant_id, head, _end_of(head))
                feed.reader = asyncio.create_task(
                    self._read_all(feed), name="tail", context=Context()
                )
                feed.reader.add_done_callback(lambda _: self._end(feed))
        feed, place = self._feeds[tenant_id], Place(offset)
        feed.places.add(place)
        return feed, place

    def leave(self, feed: Feed, place: Place) -> None:
        """Follow no longer; the last one closes the feed."""
        feed.places.discard(place)
        if not feed.places and feed.reader is not None:
            feed.reader.cancel()
            self._end(feed)

    def _end(self, feed: Feed) -> None:
        """Read no more of it: who follows it is woken, who comes next begins a new one."""
        if self._feeds.get(feed.tenant_id) is feed:
            del self._feeds[feed.tenant_id]
        feed.moved.set()

    async def page(self, feed: Feed, after: Cursor) -> list[DeliveryReport] | None:
        """Read a page from the database, for who is behind the ring.

        None when the log has changed: the feed is renewed, and cursors are to be looked at anew.
        """
        head, newest = feed.head, feed.cursor.offset
        async with borrowed(self._pool) as link:
            page = await read.after(link, feed.tenant_id, after.offset, after.not_before, PAGE)
        if feed.head is head and (page.log_id != head.log_id or page.last_offset < newest):
            await self.renew(feed, head)
        if feed.head is not head:
            return None
        return [to_wire(report, head) for report in page.reports]

    async def renew(self, feed: Feed, stale: Head) -> None:
        """Read the head of a feed anew, unless somebody has since `stale`, and forget the ring."""
        async with feed.renewing:
            if feed.head is not stale:
                return
            async with borrowed(self._pool) as link:
                head = await read.head(link, feed.tenant_id)
            feed.head, feed.cursor = head, _end_of(head)
            feed.ring.clear()
            feed.wake()

    async def _read_all(self, feed: Feed) -> None:
        while True:
            feed.behind.clear()
            try:
                more = await self._read(feed)
            except (Unavailable, asyncpg.PostgresError):
                more = False
            if more:
                continue
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await feed.behind.wait()
            except TimeoutError:
                pass  # nobody hinted: this is the poll

    async def _read(self, feed: Feed) -> bool:
        reports = await self.page(feed, feed.cursor)
        if not reports:
            return reports is None
        if reports[0].offset != feed.cursor.offset + 1:  # it was away for longer than days are kept
            feed.ring.clear()
        feed.ring.extend(reports)
        newest = reports[-1]
        day = newest.event_time.ToDatetime().date()
        feed.cursor = Cursor(feed.head.log_id, day, newest.offset)
        feed.wake()
        return len(reports) == PAGE


def _end_of(head: Head) -> Cursor:
    return Cursor(head.log_id, head.last_at.date(), head.last_offset)
