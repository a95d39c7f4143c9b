"""Templates as submissions use them, remembered for seconds so that a submit asks nothing.

Only what exists is remembered, so that a template can be used the moment it is made.
"""

import time
from collections.abc import Sequence
from uuid import UUID

from mailproxy_server.templates.template import Template
from mailproxy_server.templates.templates import Templates

TTL = 5.0
"""Seconds for which a template is believed without asking again."""
MOST = 1000
"""Templates that are remembered."""


class TemplateCache:
    """Reads templates of tenants."""

    def __init__(self, templates: Templates, ttl: float = TTL) -> None:
        self._templates = templates
        self._ttl = ttl
        self._known: dict[tuple[UUID, str], tuple[Template, float]] = {}

    async def get(self, tenant_id: UUID, template_id: str) -> Template:
        """Give a template; raises CallerError TEMPLATE_NOT_FOUND naming those that there are."""
        entry = self._known.get((tenant_id, template_id))
        if entry is not None and entry[1] > time.monotonic():
            return entry[0]
        template = await self._templates.find(tenant_id, template_id)
        if template is None:
            raise await self._templates.missing(tenant_id, template_id)
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[tenant_id, template_id] = (template, time.monotonic() + self._ttl)
        return template

    def changed(self, lines: Sequence[str]) -> None:
        """Templates ("tenant/template") were said to have changed; none named: any may have."""
        if not lines:
            self._known.clear()
        for line in lines:
            self.invalidate(UUID(line.partition("/")[0]))

    def invalidate(self, tenant_id: UUID) -> None:
        """Forget all templates of a tenant, for one of them changed."""
        for key in [key for key in self._known if key[0] == tenant_id]:
            del self._known[key]
