"""Whose mail a page shows: any tenant's, for the page is the operator's."""

from uuid import UUID

from aiohttp import web

from mailproxy_server.queue import named
from mailproxy_server.queue.hot import Pool


class TenantChoice:
    """The tenants there are, and the one that a request names."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: set[UUID] = set()

    async def of(self, request: web.Request) -> UUID:
        """Give the tenant that ?tenant= names; 400 for what is no id, 404 for what is none."""
        try:
            tenant_id = UUID(request.query.get("tenant", ""))
        except ValueError:
            raise web.HTTPBadRequest(text="name a tenant: ?tenant=<id>\n") from None
        if tenant_id not in self._known:
            self._known.update(await named.tenants(self._pool, [tenant_id]))
        if tenant_id not in self._known:
            raise web.HTTPNotFound(text="there is no such tenant\n")
        return tenant_id

    async def all(self) -> list[dict[str, str]]:
        """List them by name."""
        found = await named.all_tenants(self._pool)
        return [{"id": str(tenant_id), "name": name} for tenant_id, name in found]
