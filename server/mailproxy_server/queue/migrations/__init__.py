"""The schema's history (Alembic). Applied at start, or by `mailproxy migrate`.

Owns how a database comes to the newest schema, under a lock, so that two replicas starting
together apply it once. Versions import nothing of ours: history does not change when code does.
"""

from pathlib import Path

import alembic.command
import alembic.config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

SCHEMA = "mailproxy"
_LOCK = 0x6D61696C  # "mail"; held for the transaction of the whole upgrade


async def upgrade(url: str) -> None:
    """Bring the database at `url` (postgresql://...) to the newest schema; idempotent.

    Waits while another process does the same. Raises SQLAlchemy's errors when the database
    does not answer or the role may not create the schema.
    """
    engine = create_async_engine(driver_url(url))
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def newest() -> str:
    """Give the revision that `upgrade` brings a database to."""
    found = ScriptDirectory(str(Path(__file__).parent)).get_current_head()
    assert found is not None, "the history has one head"
    return found


def driver_url(url: str) -> str:
    """Give `url` with SQLAlchemy's asyncpg driver named in it."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+asyncpg://" + url[len(prefix) :]
    return url


def _upgrade(connection: Connection) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")
