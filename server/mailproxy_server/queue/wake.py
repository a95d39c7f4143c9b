"""Hints between processes by NOTIFY: work is due, reports were written, an account changed.

Only hints: every listener polls as well, and a lost one costs time, never work. A NOTIFY
takes a lock of the whole cluster at commit, so hints run in transactions of their own, one
at a time, and what comes meanwhile is gathered into the next one.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping

import asyncpg

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.sessions import Sessions, sessions_of

DUE = "mailproxy_due"
"""Deliveries became due. Payload: lines "tenant_id/account_id"; empty: anything."""
REPORTS = "mailproxy_reports"
"""Reports were appended. Payload: lines of tenant ids; empty: anybody's."""
ACCOUNTS = "mailproxy_accounts"
"""An account changed. Payload: "tenant_id/account_id"; empty: any."""

_PAYLOAD_LIMIT = 7900  # PostgreSQL allows just under 8,000 octets
_ANYTHING = ""
_RECONNECT_SECONDS = 1.0
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
BEAT_SECONDS = 3.0
"""Between two heartbeats of who listens."""
_ANSWER_SECONDS = 3.0
"""For a heartbeat to be heard, and for the database to answer who listens."""
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
                async with borrowed(self._pool) as link:
                    await notify(link, channel, payload)
            except (Unavailable, asyncpg.PostgresError):
                return  # a hint is lost; the polls find the work
            await asyncio.sleep(_GATHER_SECONDS)


async def notify(link: Connection, channel: str, payload: str = "") -> None:
    """Send one hint, in a transaction of its own."""
    await link.execute("SELECT pg_notify($1, $2)", channel, payload)


class Ear:
    """Listens for hints on one session of its own and opens it again when it breaks.

    Each callback gets the payload's lines, or an empty list: "anything may have happened",
    as after a reconnect.

    A session that is half open, or with a server that is no primary any more, hears nothing and
    does not break. So a heartbeat goes through the database: written by way of `pool`, as all hints
    are, it must be heard here. One that was written and not heard has the session opened anew.
    """

    def __init__(
        self,
        source: str | Sessions,
        pool: Pool,
        callbacks: Mapping[str, Callable[[list[str]], None]],
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        self._sessions = sessions_of(source)
        self._pool = pool
        self._callbacks = callbacks
        self._beat_seconds = beat_seconds
        self._beat_channel = f"mailproxy_beat_{secrets.token_hex(8)}"
        self._beat = asyncio.Event()
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except _FAULTS:
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        link = await self._sessions.connect("mailproxy listen", command_timeout=_ANSWER_SECONDS)
        self._lost.clear()
        try:
            link.add_termination_listener(lambda _: self._lost.set())
            await link.add_listener(self._beat_channel, lambda *_: self._beat.set())
            for channel in self._callbacks:
                await link.add_listener(channel, self._hear)
            for callback in self._callbacks.values():
                callback([])
            while await self._hears():
                pass
        finally:
            link.terminate()

    async def _hears(self) -> bool:
        """Wait for the next beat to be due, and for it; False when the session is of no use."""
        if await _within(self._lost, self._beat_seconds):
            return False
        self._beat.clear()
        try:
            async with borrowed(self._pool) as link:
                await notify(link, self._beat_channel)
        except (Unavailable, asyncpg.PostgresError):
            return True  # nothing was written, so nothing can be heard: the next beat tells
        return await _within(self._beat, _ANSWER_SECONDS) and not self._lost.is_set()

    def _hear(self, link: object, pid: int, channel: str, payload: object) -> None:
        self._callbacks[channel](str(payload).split("\n") if payload else [])


async def _within(event: asyncio.Event, seconds: float) -> bool:
    """Whether the event comes to pass within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
