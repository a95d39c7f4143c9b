"""Counting the queue: how deep it is, and what waits for what, by account."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.control import SCHEDULED
from mailproxy_server.queue.hot import Connection


@dataclass(frozen=True, slots=True)
class AccountCounts:
    """Deliveries of one account, by what they wait for."""

    account_id: str
    due: int
    retrying: int
    scheduled: int
    sending: int
    held: int
    oldest_due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """A worker as the status shows it."""

    worker_id: UUID
    host: str
    started_at: datetime
    beat_at: datetime
    alive: bool


async def depth(link: Connection, tenant_id: UUID, limit: int) -> int:
    """Count the tenant's deliveries that are to do, up to `limit`; walks the primary key."""
    found: int = await link.fetchval(
        """SELECT count(*) FROM (SELECT 1 FROM mailproxy.deliveries WHERE tenant_id = $1
                                 LIMIT $2) d""",
        tenant_id,
        limit,
    )
    return found


async def queued(link: Connection, tenant_id: UUID, account_id: str) -> int:
    """Count an account's deliveries that are to do, claimed ones too."""
    found: int = await link.fetchval(
        "SELECT count(*) FROM mailproxy.deliveries WHERE tenant_id = $1 AND account_id = $2",
        tenant_id,
        account_id,
    )
    return found


async def by_account(link: Connection, tenant_id: UUID, account_id: str) -> list[AccountCounts]:
    """Count by account, this one or ("") all of the tenant's; those with nothing to do too."""
    rows = await link.fetch(
        f"""SELECT a.account_id,
                  count(*) FILTER (WHERE waits AND due_at <= now()),
                  count(*) FILTER (WHERE waits AND due_at > now() AND NOT scheduled),
                  count(*) FILTER (WHERE waits AND due_at > now() AND scheduled),
                  count(worker_id),
                  count(*) FILTER (WHERE held AND worker_id IS NULL),
                  min(due_at) FILTER (WHERE waits AND due_at <= now())
           FROM mailproxy.accounts a
           LEFT JOIN (SELECT *, worker_id IS NULL AND NOT held AS waits, {SCHEDULED} AS scheduled
                      FROM mailproxy.deliveries d) d USING (tenant_id, account_id)
           WHERE a.tenant_id = $1 AND ($2 = '' OR a.account_id = $2)
           GROUP BY a.account_id, a.deleted_at
           HAVING a.deleted_at IS NULL OR count(d.message_id) > 0
           ORDER BY a.account_id""",  # noqa: S608 - no input is in the text
        tenant_id,
        account_id,
    )
    return [AccountCounts(*row) for row in rows]


async def dispatchers(link: Connection) -> list[Dispatcher]:
    """List all dispatchers that have not been declared dead."""
    rows = await link.fetch(
        """SELECT worker_id, host, started_at, beat_at,
                  beat_at + lease_seconds * interval '1 second' > clock_timestamp()
           FROM mailproxy.workers ORDER BY started_at"""
    )
    return [Dispatcher(*row) for row in rows]
