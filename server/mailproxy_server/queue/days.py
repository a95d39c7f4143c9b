"""The report log's days: partitions made ahead, and dropped when they are old.

A new one is made beside the log and attached, since CREATE TABLE ... PARTITION OF would wait
behind any reader and hold up all later ones.
"""

from datetime import date, timedelta

from mailproxy_server.queue.hot import Connection

AHEAD = 7
"""Days that exist before they come."""
_LOCK = 0x64617973  # "days"; one maker at a time


def name(day: date) -> str:
    """Give the partition's name."""
    return f"report_log_{day:%Y%m%d}"


async def ensure(link: Connection, today: date, ahead: int = AHEAD) -> list[date]:
    """Make the partitions of yesterday to `ahead` days from today that are missing; give them.

    Yesterday's is for a database whose clock is behind ours. Each in a transaction of its
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


async def _make(link: Connection, day: date) -> None:
    partition, following = name(day), day + timedelta(days=1)
    await link.execute(
        f"CREATE TABLE mailproxy.{partition} (LIKE mailproxy.report_log INCLUDING ALL)"
    )
    await link.execute(
        f"ALTER TABLE mailproxy.report_log ATTACH PARTITION mailproxy.{partition} "
        f"FOR VALUES FROM ('{day} 00:00+00') TO ('{following} 00:00+00')"
    )
