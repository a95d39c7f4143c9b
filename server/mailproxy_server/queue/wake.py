"""Hints between processes by NOTIFY: work is due, reports were written, an account changed.

Only hints: every listener polls as well, and a lost one costs time, never work. A NOTIFY
takes a lock of the whole cluster at commit, so hints run in transactions of their own, one
at a time, and what comes meanwhile is gathered into the next one.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import asyncpg

from mailproxy_server.queue.hot import GONE, Pool

DUE = "mailproxy_due"
"""Deliveries became due. Payload: lines "tenant_id/account_id"; empty: anything."""
REPORTS = "mailproxy_reports"
"""Reports were appended. Payload: lines of tenant ids; empty: anybody's."""
ACCOUNTS = "mailproxy_accounts"
"""An account changed. Payload: "tenant_id/account_id"; empty: any."""

_PAYLOAD_LIMIT = 7900  # PostgreSQL allows just under 8,000 octets
_ANYTHING = ""
_RECONNECT_SECONDS = 1.0
_GATHER_SECONDS = 0.004
"""Between two hints; the first one after a rest goes at once."""


class Bell:
    """Sends hints. `ring` returns at once; a task sends them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: dict[str, set[str]] = {}
        self._task: asyncio.Task[None] | None = None

    def ring(self, channel: str, lines: Iterable[str]) -> None:
        """Hint `lines` on `channel` soon, together with what else waits; none: anything."""
        self._waiting.setdefault(channel, set()).update(list(lines) or [_ANYTHING])
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send(), name="bell")

    async def _send(self) -> None:
        while self._waiting:
            channel, lines = self._waiting.popitem()
            payload = "\n".join(lines)
            if _ANYTHING in lines or len(payload) > _PAYLOAD_LIMIT:
                payload = ""
            try:
                await self._pool.execute("SELECT pg_notify($1, $2)", channel, payload)
            except (asyncpg.PostgresError, *GONE):
                return  # a hint is lost; the polls find the work
            await asyncio.sleep(_GATHER_SECONDS)


class Ear:
    """Listens for hints on one connection of its own and opens it again when it breaks.

    Each callback gets the payload's lines, or an empty list: "anything may have happened",
    as after a reconnect.
    """

    def __init__(self, url: str, callbacks: Mapping[str, Callable[[list[str]], None]]) -> None:
        self._url = url
        self._callbacks = callbacks

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except (asyncpg.PostgresError, *GONE):
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        lost = asyncio.Event()
        link: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            self._url, timeout=5, server_settings={"application_name": "mailproxy listen"}
        )
        try:
            link.add_termination_listener(lambda _: lost.set())
            for channel in self._callbacks:
                await link.add_listener(channel, self._hear)
            for callback in self._callbacks.values():
                callback([])
            await lost.wait()
        finally:
            await link.close(timeout=1)

    def _hear(self, link: object, pid: int, channel: str, payload: object) -> None:
        self._callbacks[channel](str(payload).split("\n") if payload else [])
