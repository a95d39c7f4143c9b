"""ReportService: streams what became of each delivery."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import report_pb2

from mailproxy_server.mail.delivery import Event
from mailproxy_server.mail.errors import FieldViolation, InvalidFields, invalid
from mailproxy_server.queue import read
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.lineage import Head
from mailproxy_server.reports.cursor import Cursor, decode, encode, expired, place
from mailproxy_server.reports.follow import follow
from mailproxy_server.reports.tail import Tail
from mailproxy_server.rpc import selecting
from mailproxy_server.rpc.call import Call

BEAT_SECONDS = 15.0
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)

Request = report_pb2.StreamDeliveryReportsRequest
Response = report_pb2.StreamDeliveryReportsResponse


@dataclass(frozen=True, slots=True)
class Reports:
    """The servicer."""

    pool: Pool
    tail: Tail

    async def StreamDeliveryReports(self, request: Request, call: Call) -> AsyncIterator[Response]:
        """Stream the tenant's reports from where the request says."""
        choice = selecting.chosen(request.selector)
        known = {event.value for event in Event}
        for number, event in enumerate(request.events):
            if event not in known:
                raise InvalidFields(
                    [FieldViolation(f"events[{number}]", f"{event} is not an event known here")],
                    reason="UNKNOWN_FIELD",
                )
        since = request.since if request.HasField("since") else None
        wanted = selecting.wanted(choice, frozenset(request.events), since)
        async with borrowed(self.pool) as link:
            start = await _start(link, call.tenant_id, request)
        del request
        call.release()
        following = follow(self.tail, call.tenant_id, start, wanted, BEAT_SECONDS)
        async with aclosing(following) as batches:
            async for batch in batches:
                yield Response(
                    reports=batch.reports,
                    cursor=encode(batch.cursor),
                    head_offset=batch.head_offset,
                )


async def _start(link: Connection, tenant_id: UUID, request: Request) -> Cursor:
    head = await read.head(link, tenant_id)
    where = request.WhichOneof("start")
    if where == "cursor":
        return await _resume(link, tenant_id, request.cursor, head)
    if where == "now" and request.now:
        return Cursor(head.log_id, head.last_at.date(), head.last_offset)
    if where == "since":
        since = max(_instant(request.since), _BEGINNING)
        first = await read.first_offset(link, tenant_id, since)
        offset = head.last_offset if first is None else first - 1
        return Cursor(head.log_id, min(since.date(), head.last_at.date()), offset)
    first = await read.first_offset(link, tenant_id)
    offset = head.last_offset if first is None else first - 1
    return Cursor(head.log_id, _BEGINNING.date(), offset)


def _instant(stamp: Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid("since", "is not a valid time: the years are 1 to 9999") from None


async def _resume(link: Connection, tenant_id: UUID, text: str, head: Head) -> Cursor:
    cursor = decode(text)
    if cursor is None:
        raise invalid("cursor", "is not a cursor; give one that a report or response carried")
    cursor = place(cursor, head)
    first = await read.first_offset(link, tenant_id)
    kept_from = head.last_offset + 1 if first is None else first
    if cursor.offset + 1 < kept_from:
        raise expired(kept_from)
    return cursor
