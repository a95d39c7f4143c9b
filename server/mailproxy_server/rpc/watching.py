"""Watching one message: the tenant's stream of reports, filtered, until all is final."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from uuid import UUID

from mailproxy.v1.delivery_pb2 import DeliveryReport

from mailproxy_server.mail.errors import CallerError
from mailproxy_server.queue import read, standings
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.unavailable import unavailable
from mailproxy_server.reports.cursor import Cursor
from mailproxy_server.reports.follow import follow, portions
from mailproxy_server.reports.tail import Tail
from mailproxy_server.reports.wire import to_wire
from mailproxy_server.rpc.find import not_found

BEAT_SECONDS = 15.0


async def watch(
    pool: Pool, tail: Tail, tenant_id: UUID, message_id: UUID
) -> AsyncIterator[Sequence[DeliveryReport]]:
    """Yield the message's reports from its first on that is kept; end when all is final.

    Raises MESSAGE_NOT_FOUND, and Unavailable when the database has lost what was told: the watch
    is to be begun anew. An empty batch means only that the stream is alive.
    """
    async with borrowed(pool) as link, link.transaction(isolation="repeatable_read", readonly=True):
        stored = await read.message(link, tenant_id, message_id)
        if stored is None:
            raise not_found(f"message_id {message_id}")
        head = await read.head(link, tenant_id)
        past = await read.of_message(link, tenant_id, message_id)
        stands = await standings.one(link, tenant_id, message_id)
    reports = [to_wire(report, head) for report in past]
    finals: dict[str, bool] = {}
    _note(finals, reports)
    for portion in portions(reports):
        yield portion
    if all(one.event is not None for one in stands):
        return  # also when reports have aged out
    start_at = Cursor(head.log_id, head.last_at.date(), head.last_offset)
    wanted_id = str(message_id)
    following = follow(
        tail, tenant_id, start_at, lambda report: report.message_id == wanted_id, BEAT_SECONDS
    )
    async with aclosing(following) as batches:
        while sum(finals.values()) < stored.recipient_count:
            try:
                batch = await anext(batches)
            except CallerError as error:
                if error.reason != "CURSOR_FOREIGN":
                    raise
                raise unavailable() from error
            _note(finals, batch.reports)
            yield batch.reports


def _note(finals: dict[str, bool], reports: Sequence[DeliveryReport]) -> None:
    """Remember for each recipient whether its newest report is final."""
    for report in reports:
        finals[report.recipient] = report.final
