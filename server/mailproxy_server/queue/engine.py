"""SQLAlchemy's engine over sessions of ours: for the statements that are no hot ones."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from mailproxy_server.queue.migrations import DRIVER
from mailproxy_server.queue.sessions import Session, Sessions, sessions_of
from mailproxy_server.queue.unavailable import is_stale

if TYPE_CHECKING:
    from sqlalchemy import ExceptionContext

_GENERATION = "generation"
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
    event.listen(engine.sync_engine, "connect", _mark(sessions))
    event.listen(engine.sync_engine, "checkout", _refuse_stale(sessions))
    return engine


def _mark(sessions: Sessions) -> Callable[[Any, Any], None]:
    def mark(_: Any, record: Any) -> None:
        record.info[_GENERATION] = sessions.generation

    return mark


def _refuse_stale(sessions: Sessions) -> Callable[[Any, Any, Any], None]:
    """Have a connection replaced when others of the same sessions were found stale since: one that
    only reads would go on reading from a server that is no primary any more."""

    def look(_: Any, record: Any, __: Any) -> None:
        if record.info[_GENERATION] != sessions.generation:
            raise DisconnectionError

    return look


def _judge(context: "ExceptionContext") -> None:
    """Have the pool replaced when a connection shows that the others are stale too."""
    if is_stale(context.original_exception):
        context.is_disconnect = True
