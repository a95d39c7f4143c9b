"""The names of tenants, for those who are shown numbers about them."""

from collections.abc import Collection
from uuid import UUID

from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed


async def tenants(pool: Pool, tenant_ids: Collection[UUID]) -> dict[UUID, str]:
    """Read the names of these tenants; one that is gone has none. No lock; primary key.

    Raises `Unavailable` when the database is away.
    """
    async with borrowed(pool) as link:
        rows = await link.fetch(
            "SELECT tenant_id, name FROM mailproxy.tenants WHERE tenant_id = ANY($1)",
            list(tenant_ids),
        )
    return {row[0]: row[1] for row in rows}


async def all_tenants(pool: Pool) -> list[tuple[UUID, str]]:
    """Read all tenants, `default` first, then by name; at most 1,000. No lock.

    Raises `Unavailable` when the database is away.
    """
    async with borrowed(pool) as link:
        rows = await link.fetch(
            "SELECT tenant_id, name FROM mailproxy.tenants "
            "ORDER BY name <> 'default', name LIMIT 1000"
        )
    return [(row[0], row[1]) for row in rows]
