"""Following a log from a cursor on: the one engine behind every stream of reports."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from mailproxy.v1.delivery_pb2 import DeliveryReport

from mailproxy_server.queue.lineage import Head
from mailproxy_server.reports.cursor import Cursor, expired, place
from mailproxy_server.reports.tail import Feed, Tail

BATCH = 500
BATCH_OCTETS = 900_000
"""A response stays below 1 MiB, since other languages receive 4 MiB by default."""

Wanted = Callable[[DeliveryReport], bool]


@dataclass(frozen=True, slots=True)
class Batch:
    """Reports that passed the filter, the progress made, and the log's newest offset.

    `last_at` is when the report was recorded up to which it goes.
    """

    reports: Sequence[DeliveryReport]
    cursor: Cursor
    head_offset: int
    last_at: datetime | None = None


async def follow(
    tail: Tail, tenant_id: UUID, start: Cursor, wanted: Wanted, beat_seconds: float
) -> AsyncGenerator[Batch, None]:
    """Yield what comes after `start`: the first batch at once, then one whenever there are
    reports, and an empty one when none was wanted for `beat_seconds`. Never ends by itself.

    `start` names the log that its head had when it was looked at. Raises CURSOR_EXPIRED when what
    comes next is no longer kept, CURSOR_FOREIGN when a failover or a restore has lost what came up
    to where the stream is, and what the tail's reader failed with.
    """
    feed, mine = await tail.follow(tenant_id, start.offset)
    now = asyncio.get_running_loop().time
    try:
        if feed.head.shared(start.log_id) is None:  # the feed has not noticed the newest log yet
            await tail.renew(feed, feed.head)
        head = feed.head
        cursor = start if start.log_id == head.log_id else place(start, head)
        beat_at = now()
        while True:
            moved = feed.moved
            feed.check()
            if feed.head is not head:
                head = feed.head
                cursor = place(cursor, head)
            found = await _next(tail, feed, cursor)
            if found is None:
                continue
            for batch in _split(found, head, wanted, feed):
                cursor = batch.cursor
                if batch.reports or now() >= beat_at:
                    yield batch
                    beat_at = now() + beat_seconds
                mine.offset, mine.at = cursor.offset, batch.last_at
            if found or await _moves(moved, beat_at):
                continue
            named = replace(cursor, log_id=head.log_of(cursor.offset))
            yield Batch((), named, max(feed.cursor.offset, cursor.offset))
            beat_at = now() + beat_seconds
    finally:
        tail.leave(feed, mine)


async def _moves(moved: asyncio.Event, until: float) -> bool:
    """Wait for the feed to move on; False when it had not by then, on the loop's clock."""
    try:
        async with asyncio.timeout_at(until):
            await moved.wait()
    except TimeoutError:
        return False
    return True


async def _next(tail: Tail, feed: Feed, cursor: Cursor) -> Sequence[DeliveryReport] | None:
    """Give what comes after the cursor; None when the log has changed."""
    in_ring = feed.since(cursor.offset)
    if in_ring is not None:
        return in_ring
    page = await tail.page(feed, cursor)
    if page is None:
        return None
    next_offset = page[0].offset if page else feed.cursor.offset + 1
    if next_offset != cursor.offset + 1:  # offsets have no gap: a day was dropped
        raise expired(next_offset)
    return page


def _split(found: Sequence[DeliveryReport], head: Head, wanted: Wanted, feed: Feed) -> list[Batch]:
    if not found:
        return []
    *full, last = portions([report for report in found if wanted(report)]) or [()]
    batches = [_batch(portion, portion[-1], head, feed) for portion in full]
    return [*batches, _batch(last, found[-1], head, feed)]


def portions(reports: Sequence[DeliveryReport]) -> list[Sequence[DeliveryReport]]:
    """Cut reports into what one response may hold; [] for none."""
    cut: list[Sequence[DeliveryReport]] = []
    start = octets = 0
    for number, report in enumerate(reports):
        size = report.ByteSize() + 8
        if number > start and (octets + size > BATCH_OCTETS or number - start == BATCH):
            cut.append(reports[start:number])
            start, octets = number, 0
        octets += size
    if len(reports) > start:
        cut.append(reports[start:])
    return cut


def _batch(chosen: Sequence[DeliveryReport], last: DeliveryReport, head: Head, feed: Feed) -> Batch:
    """Give a batch that ends at the report `last`; a page may be ahead of the feed."""
    last_at = last.event_time.ToDatetime(UTC)
    cursor = Cursor(head.log_of(last.offset), last_at.date(), last.offset)
    return Batch(chosen, cursor, max(feed.cursor.offset, last.offset), last_at)
