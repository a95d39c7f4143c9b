"""Who fetches a digest just now: a lease a digest, so that two replicas do not fetch it both."""

from uuid import UUID

from mailproxy_server.queue.hot import Connection

_TAKE = """
INSERT INTO mailproxy.blob_flights (tenant_id, wanted, holder, held_until)
VALUES ($1, $2, $3, now() + $4 * interval '1 second')
ON CONFLICT (tenant_id, wanted) DO UPDATE
SET holder = excluded.holder, held_until = excluded.held_until
WHERE blob_flights.held_until < now() OR blob_flights.holder = excluded.holder
RETURNING true
"""

_LAND = """
DELETE FROM mailproxy.blob_flights WHERE tenant_id = $1 AND wanted = $2 AND holder = $3
"""

_SWEEP = "DELETE FROM mailproxy.blob_flights WHERE held_until < now() - interval '1 hour'"


async def take(
    link: Connection, tenant_id: UUID, wanted: bytes, holder: UUID, seconds: float
) -> bool:
    """Take or renew the right to fetch a digest; False while another has it.

    Locks the row by its key.
    """
    return bool(await link.fetchval(_TAKE, tenant_id, wanted, holder, seconds))


async def land(link: Connection, tenant_id: UUID, wanted: bytes, holder: UUID) -> None:
    """Give the right back. Locks the row by its key."""
    await link.execute(_LAND, tenant_id, wanted, holder)


async def sweep(link: Connection) -> None:
    """Remove what the dead have left. Locks what it removes."""
    await link.execute(_SWEEP)
