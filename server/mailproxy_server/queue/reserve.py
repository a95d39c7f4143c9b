"""Reserving: the lock under which the limited claims of an account, or a group, go one by one.

The arithmetic is `policy.windows`; here a row is locked, read and written, and the clock asked.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from mailproxy_server.policy.usage import Usage
from mailproxy_server.queue.hot import Connection

LOCK_SECONDS = 2
"""A holder of the lock that says nothing for so long loses it, and its claim with it."""

LOCK = f"""
SELECT usage, set_config('idle_in_transaction_session_timeout', '{LOCK_SECONDS}s', true)
FROM mailproxy.rate_usage WHERE tenant_id = $1 AND rate_key = $2 FOR NO KEY UPDATE
"""  # noqa: S608 - no input is in the text


async def lock(link: Connection, tenant_id: UUID, rate_key: str) -> Usage:
    """Lock what was reserved under a key until the transaction ends, and give it.

    Locks its row by the primary key, and makes it where there is none. From here on the server
    ends the transaction, and the connection, when it hears nothing from us for LOCK_SECONDS.
    """
    row = await link.fetchrow(LOCK, tenant_id, rate_key)
    if row is None:
        await link.execute(
            """INSERT INTO mailproxy.rate_usage (tenant_id, rate_key) VALUES ($1, $2)
               ON CONFLICT DO NOTHING""",
            tenant_id,
            rate_key,
        )
        row = await link.fetchrow(LOCK, tenant_id, rate_key)
    assert row is not None, "no row of this table is ever deleted"
    return Usage.from_json(row["usage"])


async def clock(link: Connection) -> datetime:
    """Give the database's time.

    To be asked when the lock is held, in a statement of its own: now() is when the transaction
    began, and what a locking statement selects may be from before its wait. Both would let too
    many through.
    """
    instant: datetime = await link.fetchval("SELECT clock_timestamp()")
    return instant


async def write(link: Connection, tenant_id: UUID, rate_key: str, usage: Usage) -> None:
    """Write what is reserved under a key from now on; its row is locked, by the primary key."""
    await link.execute(
        "UPDATE mailproxy.rate_usage SET usage = $3 WHERE tenant_id = $1 AND rate_key = $2",
        tenant_id,
        rate_key,
        usage.to_json(),
    )


async def read(link: Connection, tenant_id: UUID, rate_keys: Sequence[str]) -> dict[str, Usage]:
    """Give what is reserved under each of these keys. Takes no lock; relies on the primary key."""
    rows = await link.fetch(
        """SELECT rate_key, usage FROM mailproxy.rate_usage
           WHERE tenant_id = $1 AND rate_key = ANY($2)""",
        tenant_id,
        rate_keys,
    )
    found = {row["rate_key"]: Usage.from_json(row["usage"]) for row in rows}
    return {key: found.get(key, Usage()) for key in rate_keys}
