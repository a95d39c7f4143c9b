"""Reading the database of a run from beside it: for commands that prove and diagnose."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg

from mailproxy_server.app import place
from mailproxy_server.app.database import running, sessions_to
from mailproxy_server.app.datadir import DataDir, locate
from mailproxy_server.app.embedded import Embedded
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.queue.sessions import Session, Sessions
from mailproxy_server.settings import Settings

_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Session]:
    """Have a connection for the length of the block; raises Refusal when there can be none."""
    async with database(settings) as url:
        try:
            link = await sessions_to(settings, url, checked=False).connect()
            try:
                yield link
            finally:
                await link.close()
        except _FAULTS as error:
            words = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise Refusal(
                f"the database cannot be read ({words}): check that it runs, that `mailproxy "
                "migrate` was run on it, and MAILPROXY_DATABASE_URL"
            ) from error


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """Give the database's address; an embedded one is started if no other run has it up."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    data = DataDir.open(locate(settings.data_dir))
    if url := await _running(data):
        yield url
        return
    async with running(settings, data, (data.lock(settings.drain_seconds),)) as database:
        yield database.url


async def _running(data: DataDir) -> str | None:
    embedded = Embedded(place.prepare(data.path))
    try:
        (await Sessions(embedded.url).connect()).terminate()
    except _FAULTS:
        return None
    finally:
        await embedded.stop()
    return embedded.url
