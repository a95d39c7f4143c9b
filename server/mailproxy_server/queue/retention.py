"""Dropping days of the report log that are over, while everybody reads and writes on.

A day goes in steps: detached (CONCURRENTLY: readers go on, and who began before is waited for),
finished if that was cut short, dropped. Each step is harmless when it is taken twice, gives up
after a moment when somebody is in its way, and is found again by the next round, whoever makes it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

import asyncpg

from mailproxy_server.queue.days import attach, day_of, name
from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.ids import first_id
from mailproxy_server.queue.read import CLOCKS

LOCK_TIMEOUT_MS = 500
"""That a step waits for a lock. Below PostgreSQL's deadlock_timeout (1 s): a transaction from
before the day was detached, that waits for us while we wait for its end, is not the one to die."""
SETTINGS = {"lock_timeout": str(LOCK_TIMEOUT_MS)}
"""Session settings of a connection that drops days, besides those of every hot one."""
_LOCK = 0x64726F70  # "drop"; one at a time


class Place(Enum):
    """Where a day's table stands."""

    IN = "attached to the log"
    LEAVING = "detached, but for what a crash or a reader cut short"
    OUT = "detached"


class Fate(Enum):
    """What became of a day that is over."""

    DROPPED = "dropped"
    NEEDED = "kept: a message of that day, or of one before, is still under way"
    LATER = "kept until the next round: somebody is in the way"


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the log, by UTC, that is over."""

    day: date
    place: Place


Needed = Callable[[Connection, date], Awaitable[bool]]

_TABLES = """
SELECT c.relname, i.inhdetachpending
FROM pg_class c LEFT JOIN pg_inherits i
  ON i.inhrelid = c.oid AND i.inhparent = 'mailproxy.report_log'::regclass
WHERE c.relnamespace = 'mailproxy'::regnamespace AND c.relkind = 'r'
  AND c.relname ~ '^report_log_[0-9]{8}$'
ORDER BY c.relname
"""

OLDER = """
SELECT EXISTS (SELECT 1 FROM mailproxy.report_heads h CROSS JOIN LATERAL (
    SELECT 1 FROM mailproxy.deliveries d
    WHERE d.tenant_id = h.tenant_id AND d.message_id < $1 ORDER BY d.message_id LIMIT 1) older)
"""


async def alone(link: Connection) -> bool:
    """Whether this transaction is now the only one, over all replicas, that sees to the days."""
    got: bool = await link.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK)
    return got


async def now(link: Connection) -> datetime:
    """Give the time by the database, whose clock the log goes by."""
    found: datetime = await link.fetchval("SELECT clock_timestamp()")
    return found


async def over(link: Connection, before: date) -> list[Day]:
    """Give the days before `before` that have a table, the oldest first. Reads the catalogue."""
    places = {False: Place.IN, True: Place.LEAVING, None: Place.OUT}
    days = [Day(day_of(row[0]), places[row[1]]) for row in await link.fetch(_TABLES)]
    return [each for each in days if each.day < before]


async def needed(link: Connection, day: date) -> bool:
    """Whether a message that was taken in on that day or before is still under way.

    A probe a tenant of the oldest live delivery. Takes no lock; relies on the primary key of
    deliveries, whose ids are in the order of time but for the clocks that made them.
    """
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) + CLOCKS
    found: bool = await link.fetchval(OLDER, first_id(int(end.timestamp() * 1000)))
    return found


async def drop(link: Connection, old: Day, needed: Needed = needed) -> Fate:
    """Take the steps that are left for a day. In no transaction; `link` has `SETTINGS`.

    Days must go in their order, or the log would have a hole that no cursor tells of.
    """
    table = f"mailproxy.{name(old.day)}"
    log = "ALTER TABLE mailproxy.report_log DETACH PARTITION"
    try:
        if old.place is Place.IN:
            if await needed(link, old.day):
                return Fate.NEEDED
            await link.execute(f"{log} {table} CONCURRENTLY")
        elif old.place is Place.LEAVING:
            await link.execute(f"{log} {table} FINALIZE")
        return await _end(link, old.day, needed)
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        return Fate.LATER
    except (asyncpg.UndefinedTableError, asyncpg.ObjectNotInPrerequisiteStateError):
        return Fate.LATER  # another took the same step


async def _end(link: Connection, day: date, needed: Needed) -> Fate:
    """Drop a detached day, or bring it back for a message that was requeued meanwhile.

    Once it is detached no requeue goes by what it says, so that who is not under way now is over
    for it. Locks the day alone, which nobody reads any more.
    """
    table = f"mailproxy.{name(day)}"
    async with link.transaction():
        await link.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        attached = "SELECT relispartition FROM pg_class WHERE oid = to_regclass($1)"
        if await link.fetchval(attached, table):
            return Fate.LATER
        if await needed(link, day):
            await attach(link, day)
            return Fate.NEEDED
        await link.execute(f"DROP TABLE {table}")
    return Fate.DROPPED
