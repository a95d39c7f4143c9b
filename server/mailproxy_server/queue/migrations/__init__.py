"""The schema's history (Alembic). Applied at start, or by `mailproxy migrate`.

Owns how a database comes to the newest schema, under a lock, so that two replicas starting
together apply it once. Versions import nothing of ours: history does not change when code does.
Alembic and SQLAlchemy are imported where something is to be applied: a start that finds the newest
schema is quicker without them.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from mailproxy_server.queue.sessions import Sessions, sessions_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

SCHEMA = "mailproxy"
DRIVER = "postgresql+asyncpg://"
"""For SQLAlchemy, whose connections are sessions of ours: the address is not its business."""
_LOCK = 0x6D61696C  # "mail"; held for the transaction of the whole upgrade


async def upgrade(source: str | Sessions) -> None:
    """Bring a database (its URL, or what makes sessions with it) to the newest schema; idempotent.

    Waits while another process does the same. Raises SQLAlchemy's errors when the database
    does not answer or the role may not create the schema.
    """
    from sqlalchemy import NullPool, text
    from sqlalchemy.ext.asyncio import create_async_engine

    sessions = sessions_of(source)
    engine = create_async_engine(
        DRIVER, poolclass=NullPool, async_creator=lambda: sessions.connect("mailproxy migrate")
    )
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


def _upgrade(connection: "Connection") -> None:
    import alembic.command
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")
