"""Asks about once a second whether the database takes writes, for all that speaks of health.

Callers are told by their own calls; who balances the load, restarts or alerts is told by this: by
gRPC's health, /readyz and gmp_database_up. One failure is an accident (a connection that was
lost, a switchover that is quick); after the second one in a row the database counts as of no use,
until the first success.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import asyncpg
import structlog

from mailproxy_server.queue import checkup
from mailproxy_server.queue.hot import ACQUIRE_TIMEOUT, Pool, connection
from mailproxy_server.queue.unavailable import why

EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""For each answer; a connection is waited for as long as by everybody."""
_LONGEST_SECONDS = ACQUIRE_TIMEOUT + 2 * PATIENCE_SECONDS
FAILURES = 2
"""So many in a row count."""
_ROWS = 1_000
"""Of the trial of writing: 60 KiB, so that room for a page or two is not taken for room."""

Told = Callable[[bool], None]
"""Told of each change, whether the database takes writes."""

log = structlog.get_logger()


class DatabaseProbe:
    """The probe of one process; `why_not` is "" while the database takes writes.

    It looks by way of `pool`, as all work does, and has the pool replaced when that leads to a
    server that takes no writes: without traffic nobody else would find the new primary.
    A statement that only looks does not notice a full disk. So once a write was refused for such a
    reason (`Pool.refusals`), a little is written, and taken back, until that succeeds.
    """

    def __init__(
        self, pool: Pool, told: Told = lambda _: None, every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._pool = pool
        self._told = told
        self._every = every_seconds
        self._failures = 0
        self._answered = pool.refusals
        self.why_not = ""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Look once, and tell of a change."""
        found = await self._found()
        self._failures = self._failures + 1 if found else 0
        if 0 < self._failures < FAILURES:
            return
        before, self.why_not = self.why_not, found
        if bool(before) == bool(found):
            return
        if found:
            log.error("the database takes no writes; health says so", why=found)
        else:
            log.warning("the database takes writes again")
        self._told(not found)

    async def _found(self) -> str:
        """Give why the database is of no use just now, "" when it is."""
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                return await self._ask()
        except Exception as error:
            # Whatever it is, nothing was answered; what it means for callers is theirs to hear.
            return why(error)

    async def _ask(self) -> str:
        async with connection(self._pool) as link:
            found = await checkup.why_not_written(link, PATIENCE_SECONDS)
            refusals = self._pool.refusals
            if not found and refusals != self._answered:
                # Without the privilege to make temporary tables nothing can be tried.
                with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
                    await checkup.write_probe(link, _ROWS, PATIENCE_SECONDS)
                self._answered = refusals
        if found:
            await self._pool.replace()
        return found


@contextlib.asynccontextmanager
async def probing(pool: Pool, told: Told = lambda _: None) -> AsyncIterator[DatabaseProbe]:
    """Have a probe look for the length of the block."""
    probe = DatabaseProbe(pool, told)
    looking = asyncio.create_task(probe.run(), name="database probe")
    try:
        yield probe
    finally:
        looking.cancel()
