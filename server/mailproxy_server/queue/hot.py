"""Connections for the hot statements: intake, claim, settle, and the reads beside them.

These are written as text with $n and run on asyncpg directly. Their plans must not depend
on how full a table was when it was last analyzed, so the planner is kept from sequential
scans and from generic plans. Nothing here retries: who calls knows what a lost answer means.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue.sessions import Session, Sessions, sessions_of
from mailproxy_server.queue.unavailable import (
    is_stale,
    is_unavailable,
    is_without_room,
    unavailable,
)

if TYPE_CHECKING:
    _Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
else:
    _Pool = asyncpg.Pool
    Connection = asyncpg.Connection

SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""Settings of every hot connection, beside those of all sessions. Each join of theirs goes from a
handful of rows to a key, so the nested loop is always right."""

ACQUIRE_TIMEOUT = 5.0
"""Seconds to wait for a connection before the database counts as away."""

_REPLACE_SECONDS = 1.0
"""At most so often is a whole pool replaced, or a server that stays read-only would have a new
connection for each statement."""
_QUERIES = 50_000
_IDLE_SECONDS = 300.0


Told = Callable[[str, float, BaseException | None], None]
"""Told of each statement: its text, the seconds that it took, and what it raised."""


class Pool(_Pool):
    """A pool of hot connections, replaced as a whole when one of them shows that it is stale, and
    with it whatever else has sessions of the same `sessions`."""

    sessions: Sessions | None = None

    _replaced = -_REPLACE_SECONDS
    refusals = 0
    """How many writes were refused for want of room, memory or a disk that works."""

    async def replace(self) -> None:
        """Have each connection that is open now be replaced before it is used again."""
        now = time.monotonic()
        if now - self._replaced >= _REPLACE_SECONDS:
            self._replaced = now
            if self.sessions is not None:
                self.sessions.generation += 1
            await self.expire_connections()


async def open_pool(
    source: str | Sessions,
    *,
    size: int,
    statement_timeout: float,
    told: Told | None = None,
) -> Pool:
    """Open a pool of at most `size` hot connections.

    `source` is the database's URL, or what makes sessions with it. A statement ends after
    `statement_timeout` seconds. Raises CannotConnect when no session can be made.
    """
    sessions = sessions_of(source)
    settings = SETTINGS | {"statement_timeout": str(int(statement_timeout * 1000))}

    async def connect(**_: Any) -> Session:
        return await sessions.connect(settings=settings, command_timeout=statement_timeout + 1)

    async def telling(link: Connection) -> None:
        if told is not None:
            link.add_query_logger(lambda one: told(one.query, one.elapsed, one.exception))

    pool: Pool = await Pool(
        connect=connect,  # type: ignore[arg-type]  # the stubs want asyncpg.connect itself
        min_size=1,
        max_size=size,
        max_queries=_QUERIES,
        max_inactive_connection_lifetime=_IDLE_SECONDS,
        setup=None,
        init=telling,
        reset=_keep,
        loop=None,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
    )
    pool.sessions = sessions
    return pool


async def _keep(connection: object) -> None:
    """Leave a released connection as it is: no statement of ours changes its session."""


@asynccontextmanager
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """Borrow a connection; raise `Unavailable` if the database cannot do what is asked just now.

    A connection that was lost, that did not answer in time or that leads to a server which takes
    no writes has the whole pool replaced.
    """
    acquired = False
    try:
        async with pool.acquire(timeout=ACQUIRE_TIMEOUT) as one:
            acquired = True
            try:
                yield one
            except TimeoutError:
                one.terminate()  # it did not even end the statement by its own time limit
                raise
    except Exception as error:
        if isinstance(error, Unavailable) or not is_unavailable(error):
            raise
        if is_without_room(error):
            pool.refusals += 1
        if acquired and is_stale(error):
            await pool.replace()
        raise unavailable(error) from error
