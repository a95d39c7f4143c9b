"""The names of tenants as labels: looked up once, and bounded."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from uuid import UUID

MOST = 1000
"""Tenants, and accounts, that have labels of their own in one process."""
OTHER = "other"
"""Stands for all beyond them."""

Lookup = Callable[[Collection[UUID]], Awaitable[Mapping[UUID, str]]]


class TenantNames:
    """What is known so far."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._known: dict[UUID, str] = {}

    async def learn(self, tenant_ids: Collection[UUID]) -> None:
        """Look up those that are not known; raises what the look-up raises."""
        unknown = [each for each in set(tenant_ids) if each not in self._known]
        room = MOST - len(self._known)
        if unknown[:room]:
            found = await self._lookup(unknown[:room])
            self._known |= {each: found.get(each, "") for each in unknown[:room]}

    def labels(self, tenant_id: UUID) -> tuple[str, str]:
        """Give a tenant's id and name."""
        name = self._known.get(tenant_id)
        return (OTHER, OTHER) if name is None else (str(tenant_id), name)
