"""Counts by account: gathered in memory, written each second under the names people know.

On the hot path a count costs an addition; names are looked up when it is written. Accounts beyond
`names.MOST` are counted together, so that labels stay few however many accounts there are.
"""

from collections import Counter
from uuid import UUID

import prometheus_client

from mailproxy_server.telemetry.names import MOST, OTHER, TenantNames

Key = tuple[UUID, str]
"""Tenant and account."""


class Tally:
    """The counts of one process that were not written yet."""

    def __init__(self, names: TenantNames) -> None:
        self._names = names
        self._counts: dict[prometheus_client.Counter, Counter[Key]] = {}
        self._own: set[Key] = set()

    def add(self, meter: prometheus_client.Counter, key: Key, count: int = 1) -> None:
        """Count for an account."""
        self._counts.setdefault(meter, Counter())[key] += count

    async def write(self) -> None:
        """Write what was counted; keeps it where the names cannot be looked up now."""
        await self._names.learn({key[0] for counts in self._counts.values() for key in counts})
        counts, self._counts = self._counts, {}
        for meter, by_key in counts.items():
            for key, count in by_key.items():
                meter.labels(*self._labels(key)).inc(count)

    def _labels(self, key: Key) -> tuple[str, str, str, str]:
        if key not in self._own and len(self._own) >= MOST:
            return (OTHER, OTHER, OTHER, OTHER)
        self._own.add(key)
        return (*self._names.labels(key[0]), key[1], key[1])


class Rising:
    """Writes a total that somebody else keeps as a counter."""

    def __init__(self, meter: prometheus_client.Counter) -> None:
        self._meter = meter
        self._written = 0

    def reach(self, total: int) -> None:
        """The total is so much now."""
        self._meter.inc(total - self._written)
        self._written = total
