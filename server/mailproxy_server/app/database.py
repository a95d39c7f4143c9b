"""Owns the database of a run: the one that was named, or an embedded PostgreSQL kept alive."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import asyncpg
import structlog

from mailproxy_server.app import place
from mailproxy_server.app.datadir import DataDir
from mailproxy_server.app.embedded import Embedded
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.queue import checkup, migrations
from mailproxy_server.queue.hot import GONE
from mailproxy_server.settings import Settings

_LONGEST_PAUSE = 10.0  # seconds between attempts to bring PostgreSQL back
_OLDEST = 150000  # PostgreSQL 15, as it numbers itself
_FAULTS = (asyncpg.PostgresError, *GONE)

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


async def upgrade(url: str) -> None:
    """Bring the schema at `url` up to date; raises Refusal when the database cannot be used."""
    if await _probe(url) == migrations.newest():
        return
    from sqlalchemy.exc import SQLAlchemyError

    try:
        await migrations.upgrade(url)
    except SQLAlchemyError as error:
        raise _unusable(url, getattr(error, "orig", None) or error) from error
    except _FAULTS as error:
        raise _unusable(url, error) from error


async def renew_logs(url: str) -> None:
    """Give every report log a new id; raises Refusal when the database cannot be used."""
    from mailproxy_server.queue import heads

    try:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            await heads.renew(connection)
        finally:
            await connection.close()
    except _FAULTS as error:
        raise _unusable(url, error) from error


async def _probe(url: str) -> str:
    """Give the revision of the schema, "" where there is none; raises Refusal."""
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except _FAULTS as error:
        raise _unusable(url, error) from error
    try:
        version = int(await connection.fetchval("SHOW server_version_num"))
        found = await checkup.revision(connection) if version >= _OLDEST else ""
    except asyncpg.InsufficientPrivilegeError:
        found = ""
    finally:
        await connection.close()
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
