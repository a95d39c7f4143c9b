"""Owns the database of a run: the one that was named, or an embedded PostgreSQL kept alive."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import structlog

from mailproxy_server.app import place
from mailproxy_server.app.datadir import DataDir
from mailproxy_server.app.embedded import Embedded
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.queue import checkup, migrations
from mailproxy_server.queue.identity import Change, Check
from mailproxy_server.queue.sessions import Session, Sessions, Source
from mailproxy_server.settings import Settings

_LONGEST_PAUSE = 10.0  # seconds between attempts to bring PostgreSQL back
_OLDEST = 150000  # PostgreSQL 15, as it numbers itself
_PATIENCE = 60.0  # seconds for one statement of a command
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Database:
    """A database that is up; whoever uses it holds the fds `anchors` open."""

    url: str = field(repr=False)
    anchors: tuple[int, ...] = ()


@contextlib.asynccontextmanager
async def running(
    settings: Settings, data: DataDir | None, held: tuple[int, ...]
) -> AsyncIterator[Database]:
    """Have a database for as long as the block; an embedded one is brought back when it ends.

    `data` may be None when the settings name a database. `held` are fds that everything of this
    run keeps open. Raises Refusal when the embedded one cannot be started.
    """
    if settings.database_url is not None:
        yield Database(settings.database_url.get_secret_value(), held)
        return
    assert data is not None
    where = place.prepare(data.path)
    if not where.folder.is_relative_to(data.path.resolve()):
        log.info("the embedded database is outside the data directory", folder=str(where.folder))
    embedded = Embedded(where, held=held)
    try:
        await embedded.start()
        keeping = asyncio.create_task(_keep(embedded))
        try:
            yield Database(embedded.url, (*held, embedded.anchor))
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping
    finally:
        await embedded.stop()


async def _keep(embedded: Embedded) -> None:
    pause = 0.0
    while True:
        await embedded.ended()
        log.warning("the embedded PostgreSQL ended and is started again", pause=pause)
        await asyncio.sleep(pause)
        try:
            await embedded.start()
            pause = 0.0
            log.info("the embedded PostgreSQL is back")
        except Refusal as refusal:
            pause = min(2 * pause + 0.5, _LONGEST_PAUSE)
            log.error(str(refusal))


def sessions_to(settings: Settings, url: str, *, checked: bool = True) -> Sessions:
    """Give what makes sessions with the database of a run, at `url`; where a file holds the
    address, it is read anew for each of them.

    What serves has each of them `checked` first: whether the database is the same as before, and
    whether its commits wait for a standby where that is asked for. Commands that only look, and
    migrations, which may find no schema, do without.
    """
    source = _source(settings.database_url_file, url)
    check = _check(settings) if checked else None
    return Sessions(source, pooled=_is_pooled(settings), check=check)


def direct_sessions_to(settings: Settings, url: str, *, checked: bool = True) -> Sessions:
    """Give what makes sessions that go around PgBouncer, where there is one: for notifications,
    migrations, and what must set its own session."""
    if settings.database_direct_url is None:
        return sessions_to(settings, url, checked=checked)
    path = settings.database_direct_url_file
    source = _source(path, settings.database_direct_url.get_secret_value())
    return Sessions(source, check=_check(settings) if checked else None)


def _check(settings: Settings) -> Check:
    return Check(synchronous=settings.require_synchronous, changed=_changed, unreadable=_unreadable)


def _changed(change: Change) -> None:
    tell = log.warning if change.logs else log.info
    tell(
        "the database is another one than before, by a failover or a restore: new logs begin, and "
        "cursors past what is kept are refused",
        changed=list(change.what), logs=change.logs,
    )  # fmt: skip


def _unreadable(names: frozenset[str]) -> None:
    log.warning(
        "this role cannot read all that tells one database from another: after a restore run "
        "`mailproxy migrate --new-log`",
        unreadable=sorted(names),
    )


def _is_pooled(settings: Settings) -> bool:
    return settings.database_direct_url is not None


def _source(path: Path | None, url: str) -> Source:
    return url if path is None else lambda: path.read_text().strip()


async def upgrade(settings: Settings, url: str) -> None:
    """Bring the schema at `url` up to date, and the settings of our role where a pooler is in
    between; raises Refusal when the database cannot be used."""
    sessions = direct_sessions_to(settings, url, checked=False)
    try:
        async with _session(sessions) as link:
            found = await _revision(link, url)
            if _is_pooled(settings):
                from mailproxy_server.queue import role_settings

                await role_settings.give(link, settings.statement_timeout_seconds)
        if found != migrations.newest():
            await migrations.upgrade(sessions)
    except Exception as error:
        if not isinstance(error, (*_FAULTS, *_sqlalchemy_errors())):
            raise
        raise _unusable(url, getattr(error, "orig", None) or error) from error


def _sqlalchemy_errors() -> tuple[type[Exception], ...]:
    """Give the errors of SQLAlchemy, if anything has loaded it: a start that finds the newest
    schema does not."""
    module = sys.modules.get("sqlalchemy.exc")
    return () if module is None else (module.SQLAlchemyError,)


async def renew_logs(settings: Settings, url: str) -> None:
    """Give every report log a new id; raises Refusal when the database cannot be used."""
    from mailproxy_server.queue import heads

    try:
        async with _session(direct_sessions_to(settings, url, checked=False)) as link:
            await heads.renew(link)
    except _FAULTS as error:
        raise _unusable(url, error) from error


@contextlib.asynccontextmanager
async def _session(sessions: Sessions) -> AsyncIterator[Session]:
    link = await sessions.connect(command_timeout=_PATIENCE)
    try:
        yield link
    finally:
        await link.close(timeout=1)


async def _revision(connection: Session, url: str) -> str:
    """Give the revision of the schema, "" where there is none; raises Refusal."""
    try:
        version = int(await connection.fetchval("SHOW server_version_num"))
        found = await checkup.revision(connection) if version >= _OLDEST else ""
    except asyncpg.InsufficientPrivilegeError:
        return ""
    if version < _OLDEST:
        raise Refusal(f"PostgreSQL {version // 10000} at {_plain(url)} is too old: use 15 to 18")
    return found


def _unusable(url: str, error: BaseException) -> Refusal:
    words = str(error).strip().splitlines() or [type(error).__name__]
    return Refusal(
        f"the database at {_plain(url)} cannot be used ({words[0].rstrip('.')}): "
        "check that it runs, and MAILPROXY_DATABASE_URL"
    )


def _plain(url: str) -> str:
    """Give the address without user, password and options."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname or 'its socket'}:{parts.port or 5432}{parts.path}"
    except ValueError:
        return "MAILPROXY_DATABASE_URL"
