"""Connections for the hot statements: intake, claim, settle, and the reads beside them.

These are written as text with $n and run on asyncpg directly. Their plans must not depend
on how full a table was when it was last analyzed, so the planner is kept from sequential
scans and from generic plans. Nothing here retries: who calls knows what a lost answer means.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from mailproxy_server.mail.errors import Unavailable

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

SETTINGS = {
    "application_name": "mailproxy",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "timezone": "UTC",
}
"""Session settings of every hot connection. Each join of theirs goes from a handful of rows
to a key, so the nested loop is always right."""

ACQUIRE_TIMEOUT = 5.0
"""Seconds to wait for a connection before the database counts as away."""

GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What asyncpg raises when the database went away under a statement or did not answer in time.

InternalClientError: a dying server said so on an idle connection, and that was not closed yet.
"""


Told = Callable[[str, float, BaseException | None], None]
"""Told of each statement: its text, the seconds that it took, and what it raised."""


async def open_pool(
    url: str,
    *,
    size: int,
    statement_timeout: float,
    told: Told | None = None,
    pooled: bool = False,
) -> Pool:
    """Open a pool of at most `size` hot connections.

    `pooled`: the way there leads through PgBouncer in transaction mode, which knows neither
    prepared statements nor settings of a session; those are the role's then (docs/scale.md).

    A statement ends after `statement_timeout` seconds. Raises asyncpg's errors, or OSError,
    when the database cannot be reached.
    """

    async def telling(link: Connection) -> None:
        if told is not None:
            link.add_query_logger(lambda one: told(one.query, one.elapsed, one.exception))

    settings = SETTINGS | {"statement_timeout": str(int(statement_timeout * 1000))}
    pool: Pool = await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        server_settings={"application_name": "mailproxy"} if pooled else settings,
        statement_cache_size=0 if pooled else 100,
        command_timeout=statement_timeout + 1,
        timeout=ACQUIRE_TIMEOUT,
        reset=_keep,
        init=telling,
    )
    return pool


async def _keep(connection: object) -> None:
    """Leave a released connection as it is: no statement of ours changes its session."""


@asynccontextmanager
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """Borrow a connection; raise `Unavailable` (DATABASE_UNAVAILABLE) if the database is away."""
    try:
        async with pool.acquire(timeout=ACQUIRE_TIMEOUT) as one:
            yield one
    except GONE as error:
        if isinstance(error, ValueError):  # asyncpg could not encode an argument: our fault
            raise
        raise away() from error


def away() -> Unavailable:
    """Give the error for a database that does not answer."""
    return Unavailable(
        "DATABASE_UNAVAILABLE",
        "the queue's database does not answer; send the same request again, with the same "
        "request_id so that it is queued once",
        retry_after=1.0,
    )
