"""SQLAlchemy's engine over sessions of ours: for the statements that are no hot ones."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from mailproxy_server.queue.migrations import DRIVER
from mailproxy_server.queue.sessions import Session, Sessions, sessions_of
from mailproxy_server.queue.unavailable import is_stale

if TYPE_CHECKING:
    from sqlalchemy import ExceptionContext

_UNPREPARED = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: ""}
"""The way through PgBouncer: statements without names, within their transaction."""


def open_engine(
    source: str | Sessions,
    *,
    size: int = 2,
    command_timeout: float = 11.0,
    pool_timeout: float = 5.0,
) -> AsyncEngine:
    """Give an engine of at most `size` connections and two more when they are in use.

    A statement may take `command_timeout` seconds, and who wants a connection waits for
    `pool_timeout`. Nothing is connected before the first use.
    """
    sessions = sessions_of(source)
    by_pooler: dict[str, Any] = _UNPREPARED if sessions.pooled else {}

    async def connect() -> Session:
        return await sessions.connect(command_timeout=command_timeout)

    def create() -> Any:
        # As SQLAlchemy's own `async_creator`, which would drop the arguments beside it.
        return engine.dialect.loaded_dbapi.connect(async_creator_fn=connect, **by_pooler)

    engine = create_async_engine(
        DRIVER,
        creator=create,
        pool_size=size,
        max_overflow=2,
        pool_pre_ping=True,
        pool_timeout=pool_timeout,
        hide_parameters=True,  # errors are logged, and parameters may be secrets
    )
    event.listen(engine.sync_engine, "handle_error", _judge)
    return engine


def _judge(context: "ExceptionContext") -> None:
    """Have the pool replaced when a connection shows that the others are stale too."""
    if is_stale(context.original_exception):
        context.is_disconnect = True
