"""The schema's history (Alembic). Applied at start, or by `mailproxy migrate`.

Owns how a database comes to the newest schema, under a lock, so that two replicas starting
together apply it once. Versions import nothing of ours: history does not change when code does.
Alembic and SQLAlchemy are imported where something is to be applied: a start that finds the newest
schema is quicker without them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

SCHEMA = "mailproxy"
_LOCK = 0x6D61696C  # "mail"; held for the transaction of the whole upgrade


async def upgrade(url: str) -> None:
    """Bring the database at `url` (postgresql://...) to the newest schema; idempotent.

    Waits while another process does the same. Raises SQLAlchemy's errors when the database
    does not answer or the role may not create the schema.
    """
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(driver_url(url))
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def newest() -> str:
    """Give the revision that `upgrade` brings a database to: the number of the last version."""
    versions = (Path(__file__).parent / "versions").glob("[0-9]*_*.py")
    return max(version.name.partition("_")[0] for version in versions)


def driver_url(url: str) -> str:
    """Give `url` with SQLAlchemy's asyncpg driver named in it."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+asyncpg://" + url[len(prefix) :]
    return url


def _upgrade(connection: "Connection") -> None:
    import alembic.command
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")
