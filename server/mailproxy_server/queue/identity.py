"""Notices that the database is another one than the logs were written in, at each new session.

A standby that was promoted may lack commits that were answered, and so does a backup that was
restored. So each session, before anything is written by it, compares which database it leads to
with what is noted there: PostgreSQL's system identifier and timeline, the database, and the table
of the note itself, which a restored dump makes anew. Who finds another one begins a new log for
every tenant and notes it, in one transaction; who comes at the same time waits, and finds it done.

What a role may not read (managed services) does not count. A session that goes through PgBouncer
may be led to a promoted standby without being a new one; the trigger of the heads, which looks at
the timeline, has their next write begin the new log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg

from mailproxy_server.queue.sessions import Session
from mailproxy_server.queue.unavailable import NotOurs, sqlstate_of

_NOW = """
SELECT pg_catalog.current_setting('synchronous_standby_names'),
       mailproxy.system_identifier(), mailproxy.timeline(), d.oid, i.tableoid,
       i.system_identifier, i.timeline, i.database_oid, i.table_oid
FROM pg_catalog.pg_database d LEFT JOIN mailproxy.database_identity i ON true
WHERE d.datname = pg_catalog.current_database()
"""
_TABLE = "SELECT 'mailproxy.database_identity'::pg_catalog.regclass::pg_catalog.oid"

LOCK = "LOCK TABLE mailproxy.database_identity IN SHARE ROW EXCLUSIVE MODE"
"""Waits for who has come first. Who only reads the note does not wait."""
_BEGIN_LOGS = """
WITH heads AS MATERIALIZED (
    SELECT tenant_id FROM mailproxy.report_heads
    WHERE $1::text IS NULL OR timeline IS DISTINCT FROM $1
    ORDER BY tenant_id FOR NO KEY UPDATE)
UPDATE mailproxy.report_heads h SET log_id = pg_catalog.gen_random_uuid()
FROM heads WHERE h.tenant_id = heads.tenant_id
"""
_NOTE = """
INSERT INTO mailproxy.database_identity AS i
    (system_identifier, timeline, database_oid, table_oid)
VALUES ($1, $2, $3, $4)
ON CONFLICT (one) DO UPDATE
SET system_identifier = coalesce(excluded.system_identifier, i.system_identifier),
    timeline = coalesce(excluded.timeline, i.timeline), database_oid = excluded.database_oid,
    table_oid = excluded.table_oid, noted_at = excluded.noted_at
"""
_READ_ONLY = "25006"
_NO_NOTE = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
)
_PATIENCE = 10.0  # seconds for each statement


class Identity(NamedTuple):
    """Which database it is; None for what cannot be read, or is not noted."""

    system_identifier: int | None
    timeline: str | None
    database_oid: int | None
    table_oid: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """The database was found to be another one: what changed, and how many logs began."""

    what: tuple[str, ...]
    logs: int


def differing(noted: Identity, now: Identity) -> tuple[str, ...]:
    """Name what is another than was noted; what is not known of either does not count. Where
    nothing is noted at all, the note was lost, which only a restore does."""
    if noted == Identity(None, None, None, None):
        return ("note",)
    pairs = zip(Identity._fields, noted, now, strict=True)
    return tuple(
        name for name, old, new in pairs if old is not None and new is not None and old != new
    )


class Check:
    """For `Sessions`: looks at each new session before it is used.

    `changed` is told by who noted a change; `unreadable` once of what this role may not read.
    With `synchronous`, a session with a server whose commits wait for no standby is refused.
    Another `lock` is only for a test that shows what it is good for.
    """

    def __init__(
        self,
        *,
        synchronous: bool = False,
        changed: Callable[[Change], None] | None = None,
        unreadable: Callable[[frozenset[str]], None] | None = None,
        lock: str = LOCK,
    ) -> None:
        self._synchronous = synchronous
        self._changed = changed
        self._unreadable = unreadable
        self._lock = lock

    async def __call__(self, link: Session) -> None:
        """Compare, and note a change; raises NotOurs for a session that is not to be used."""
        found = await self._look(link)
        if found is None:
            return
        names, now, noted = found
        self._tell_of_unreadable(now)
        if self._synchronous and not names:
            raise NotOurs(
                "synchronous_standby_names is empty, so that a failover may lose mail, and "
                "MAILPROXY_REQUIRE_SYNCHRONOUS is on: name the standbys, or switch it off"
            )
        what = differing(noted, now)
        newly_known = any(
            old is None and new is not None for old, new in zip(noted, now, strict=True)
        )
        if what or newly_known:
            await self._note(link, what)

    async def _look(self, link: Session) -> tuple[str, Identity, Identity] | None:
        """Read the standbys' names, which database it is, and which is noted; None where the
        schema has no note yet."""
        try:
            row = await link.fetchrow(_NOW, timeout=_PATIENCE)
        except _NO_NOTE:
            return None
        assert row is not None, "a session has a database"
        if row[4] is None:  # no row, so no tableoid
            now = Identity(row[1], row[2], row[3], await link.fetchval(_TABLE, timeout=_PATIENCE))
        else:
            now = Identity(*row[1:5])
        return row[0], now, Identity(*row[5:9])

    def _tell_of_unreadable(self, now: Identity) -> None:
        names = frozenset(name for name, value in now._asdict().items() if value is None)
        if names and self._unreadable is not None:
            self._unreadable(names)
            self._unreadable = None

    async def _note(self, link: Session, what: tuple[str, ...]) -> None:
        try:
            async with link.transaction(isolation="read_committed"):
                await link.execute(self._lock, timeout=_PATIENCE)
                change = await self._note_locked(link)
        except asyncpg.PostgresError as error:
            if sqlstate_of(error) != _READ_ONLY:
                raise
            if set(what) <= {"timeline"}:
                return  # it can be read, and the trigger begins the new log when it is written
            raise NotOurs(
                "the database is another one than before, and read-only, so that this cannot be "
                "noted: let it take writes"
            ) from error
        if change is not None and self._changed is not None:
            self._changed(change)

    async def _note_locked(self, link: Session) -> Change | None:
        found = await self._look(link)
        assert found is not None, "its table is locked"
        _, now, noted = found
        what = differing(noted, now)
        logs = 0
        if what:
            # The heads that were written on this timeline have their new log already.
            begun = now.timeline if what == ("timeline",) else None
            status = await link.execute(_BEGIN_LOGS, begun, timeout=_PATIENCE)
            logs = int(status.rpartition(" ")[2])
        await link.execute(_NOTE, *now, timeout=_PATIENCE)
        return Change(what, logs) if what else None
