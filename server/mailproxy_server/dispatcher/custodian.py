"""Removes what need not be kept any longer: days of reports, messages, contents.

Every dispatcher runs one; they share the work by the database. Whatever is removed goes in small
steps, each followed by a pause as long as itself, so that nobody waits long for either.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

import asyncpg

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import blobs, emptying, flights, hot, purge, retention
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.ids import first_id
from mailproxy_server.queue.retention import Fate
from mailproxy_server.queue.sessions import Sessions, sessions_of

EVERY_SECONDS = 60.0
SOON_SECONDS = 2.0
"""Between looks for contents that go at once."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How long things are kept: reports and messages in days, contents in seconds after the final
    state, None for as long as their message; blobs in seconds after their last use, and at most so
    many octets of them."""

    report_days: int
    message_days: int
    content_seconds: float | None = None
    blob_seconds: float = 72 * 3600.0
    blob_octets: int = 20 * 2**30


Told = Callable[[date, Fate], None]
Wrong = Callable[[Exception], None]
Step = Callable[[Connection, UUID], Awaitable[tuple[int, bool]]]
"""A step for a tenant; gives how many went, and whether there is more."""


class Custodian:
    """The custodian of one dispatcher.

    `told` is told once of each day of reports that is over: it was dropped, or is needed; `wrong`
    of what the database refused, since nothing is removed until that is seen to.
    A step that must not wait for locks has a session of its own, by `sessions`.
    """

    def __init__(
        self,
        pool: Pool,
        sessions: str | Sessions,
        kept: Kept,
        told: Told,
        wrong: Wrong = lambda _: None,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._pool = pool
        self._sessions = sessions_of(sessions)
        self._kept = kept
        self._told = told
        self._wrong = wrong
        self._every = every_seconds
        self._last: tuple[date, Fate] | None = None

    async def run(self) -> None:
        """Look after all until cancelled; a database that is away is waited for."""
        async with asyncio.TaskGroup() as duties:
            duties.create_task(self._repeat(self.drop_days, self._every))
            duties.create_task(self._repeat(self.purge, self._every))
            duties.create_task(self._repeat(self.tidy_blobs, self._every))
            if (seconds := self._kept.content_seconds) is not None:
                pause = min(self._every, max(SOON_SECONDS, seconds / 60))
                duties.create_task(self._repeat(self.empty, pause))

    async def drop_days(self) -> None:
        """Drop the days of reports that are over, the oldest first, up to one that must stay."""
        async with borrowed(self._pool) as guard, guard.transaction():
            if not await retention.alone(guard):
                return
            kept_from = await retention.now(guard) - timedelta(days=self._kept.report_days)
            for old in await retention.over(guard, kept_from.date()):
                fate = await self._drop(old)
                self._tell(old.day, fate)
                if fate is not Fate.DROPPED:
                    return

    async def purge(self) -> None:
        """Remove messages that are old enough, over, and without reports.

        None that is younger than reports may be is without them, and so none is looked at.
        """
        async with borrowed(self._pool) as link:
            tenants = await purge.due(link)
            age = timedelta(days=max(self._kept.message_days, self._kept.report_days))
            kept_from = await retention.now(link) - age
        before = first_id(int(kept_from.timestamp() * 1000))
        await self._in_steps(tenants, lambda link, each: purge.purge(link, each, before))

    async def empty(self) -> None:
        """Remove contents that need not be kept as long as their messages."""
        seconds = self._kept.content_seconds or 0.0
        async with borrowed(self._pool) as link:
            tenants = await emptying.behind(link)
        await self._in_steps(tenants, lambda link, each: emptying.empty(link, each, seconds))

    async def tidy_blobs(self) -> None:
        """Remove files that were not used for long, and the oldest of too many."""
        ttl, total = timedelta(seconds=self._kept.blob_seconds), self._kept.blob_octets
        clock = asyncio.get_running_loop().time
        gone = 1
        while gone:
            began = clock()
            async with borrowed(self._pool) as link:
                await flights.sweep(link)
                gone = await blobs.purge(link, ttl, total)
            await asyncio.sleep(clock() - began)

    async def _drop(self, old: retention.Day) -> Fate:
        link = await self._sessions.connect(
            "mailproxy retention", settings=hot.SETTINGS | retention.SETTINGS
        )
        try:
            return await retention.drop(link, old)
        finally:
            await link.close()

    def _tell(self, day: date, fate: Fate) -> None:
        if fate is not Fate.LATER and self._last != (day, fate):
            self._last = day, fate
            self._told(day, fate)

    async def _in_steps(self, tenants: list[UUID], step: Step) -> None:
        """Take a step for each tenant in turn until none of them has more."""
        clock = asyncio.get_running_loop().time
        while tenants:
            left = []
            for tenant_id in tenants:
                began = clock()
                async with borrowed(self._pool) as link:
                    _, more = await step(link, tenant_id)
                if more:
                    left.append(tenant_id)
                await asyncio.sleep(clock() - began)
            tenants = left

    async def _repeat(self, duty: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            try:
                await duty()
            except Unavailable:
                pass  # the next round finds the same work
            except asyncpg.PostgresError as error:
                self._wrong(error)
            await asyncio.sleep(seconds)
