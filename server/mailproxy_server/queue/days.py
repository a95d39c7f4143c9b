"""The report log's days: partitions made ahead. `retention` drops them when they are old.

A new one is made beside the log and attached, since CREATE TABLE ... PARTITION OF would wait
behind any reader and hold up all later ones.
"""

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed

AHEAD = 7
"""Days that exist before they come."""
_EVERY_SECONDS = 3600.0
_RETRY_SECONDS = 1.0
_LOCK = 0x64617973  # "days"; one maker at a time


def name(day: date) -> str:
    """Give the partition's name."""
    return f"report_log_{day:%Y%m%d}"


def day_of(partition: str) -> date:
    """Give the day of a partition's name."""
    return datetime.strptime(partition[-8:], "%Y%m%d").replace(tzinfo=UTC).date()


async def ensure(link: Connection, today: date, ahead: int = AHEAD) -> list[date]:
    """Make the partitions of yesterday to `ahead` days from today that are missing; give them.

    Yesterday's is for a database whose clock is set back a little. Each in a transaction of its
    own under an advisory lock; attaching locks the log against other DDL only.
    """
    made = []
    for step in range(-1, ahead + 1):
        day = today + timedelta(days=step)
        async with link.transaction():
            await link.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            if await link.fetchval("SELECT to_regclass($1)", f"mailproxy.{name(day)}") is None:
                await _make(link, day)
                made.append(day)
    return made


async def make(pool: Pool) -> None:
    """Make the days that are missing, by the database's clock; raises `Unavailable`."""
    async with borrowed(pool) as link:
        now: datetime = await link.fetchval("SELECT clock_timestamp()")
        await ensure(link, now.date())


async def keep(pool: Pool) -> None:
    """Make days ahead of time until cancelled; a database that is away is waited for."""
    while True:
        try:
            await make(pool)
            await asyncio.sleep(_EVERY_SECONDS)
        except (Unavailable, asyncpg.PostgresError):
            await asyncio.sleep(_RETRY_SECONDS)


async def attach(link: Connection, day: date) -> None:
    """Make a day's table part of the log. Locks the log against other DDL, and the table."""
    following = day + timedelta(days=1)
    await link.execute(
        f"ALTER TABLE mailproxy.report_log ATTACH PARTITION mailproxy.{name(day)} "
        f"FOR VALUES FROM ('{day} 00:00+00') TO ('{following} 00:00+00')"
    )


async def _make(link: Connection, day: date) -> None:
    await link.execute(
        f"CREATE TABLE mailproxy.{name(day)} (LIKE mailproxy.report_log INCLUDING ALL)"
    )
    await attach(link, day)
