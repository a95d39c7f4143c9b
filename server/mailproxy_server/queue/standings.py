"""Where messages stand.

A message's state is kept nowhere: what is still to do is in `deliveries`, what is over is in
the log, and one statement reads both.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.ids import born
from mailproxy_server.queue.read import CLOCKS, MESSAGE, REPORT, Report, reports

_EACH = "unnest($2::uuid[], $3::timestamptz[]) AS each(message_id, since) CROSS JOIN LATERAL"

_STANDING = f"""
SELECT each.message_id, s.* FROM {_EACH} (
    SELECT d.recipient_no, d.recipient, d.attempts, d.due_at, d.worker_id IS NOT NULL AS sending,
           NULL::smallint AS event
    FROM mailproxy.deliveries d WHERE d.tenant_id = $1 AND d.message_id = each.message_id
    UNION ALL
    (SELECT DISTINCT ON (r.recipient_no)
            r.recipient_no, r.recipient, r.attempt, NULL, false, r.event
     FROM mailproxy.report_log r
     WHERE r.tenant_id = $1 AND r.message_id = each.message_id AND r.reported_at >= each.since
       AND NOT EXISTS (SELECT 1 FROM mailproxy.deliveries d WHERE d.tenant_id = $1
                       AND d.message_id = each.message_id AND d.recipient_no = r.recipient_no)
     ORDER BY r.recipient_no, r.log_offset DESC)
) s ORDER BY s.recipient_no
"""  # noqa: S608 - no input is in the text

_NEWEST = f"""
SELECT {REPORT}, NULL FROM {_EACH} (
    SELECT DISTINCT ON (recipient_no) * FROM mailproxy.report_log
    WHERE tenant_id = $1 AND message_id = each.message_id AND reported_at >= each.since
    ORDER BY recipient_no, log_offset DESC) r {MESSAGE}
"""  # noqa: S608 - no input is in the text


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one recipient stands: queued or sending while `event` is None, else final by it."""

    recipient_no: int
    recipient: str
    attempts: int
    due_at: datetime | None
    sending: bool
    event: int | None


async def one(link: Connection, tenant_id: UUID, message_id: UUID) -> list[Standing]:
    """Read where each recipient of a message stands, from one snapshot."""
    return (await many(link, tenant_id, [message_id]))[message_id]


async def many(
    link: Connection, tenant_id: UUID, message_ids: Collection[UUID]
) -> dict[UUID, list[Standing]]:
    """Read where each recipient of each message stands, from one snapshot.

    Takes no lock; reads the primary key of deliveries, and report_log_message of the days of each.
    """
    found: dict[UUID, list[Standing]] = {each: [] for each in message_ids}
    for row in await link.fetch(_STANDING, tenant_id, *_since(message_ids)):
        found[row["message_id"]].append(Standing(*tuple(row)[1:]))
    return found


async def newest(
    link: Connection, tenant_id: UUID, message_ids: Collection[UUID]
) -> dict[UUID, list[Report]]:
    """Read the newest report of each recipient of each message.

    Takes no lock; reads report_log_message of the days of each.
    """
    found: dict[UUID, list[Report]] = {each: [] for each in message_ids}
    for report in reports(await link.fetch(_NEWEST, tenant_id, *_since(message_ids))):
        found[report.message_id].append(report)
    return found


def _since(message_ids: Collection[UUID]) -> tuple[list[UUID], list[datetime]]:
    """Give messages, and when the first report of each can have been written."""
    return list(message_ids), [born(each) - CLOCKS for each in message_ids]
