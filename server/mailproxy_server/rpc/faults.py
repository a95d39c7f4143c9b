"""Which exceptions are whose fault: takes what a servicer raised for an error of the contract.

Errors meant for the caller pass as they are; a database that is away is `Unavailable`; all
else is a bug of ours, of which the caller learns an id and the log the rest.
"""

import secrets
from collections.abc import Callable

import asyncpg
import sqlalchemy.exc

from mailproxy_server.mail.errors import MailProxyError, Unavailable

RETRY_AFTER = 2.0
"""Seconds after which a caller should try again while PostgreSQL does not answer."""

_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    OSError,  # of sockets, and a timeout is one: nothing else of the system is touched on the way
)

_AWAY_STATES = frozenset({"57014", "57P01", "57P02", "57P03", "53300", "25P03"})


class InternalError(MailProxyError):
    """A bug of ours; `metadata["id"]` finds it in the log."""


class Faults:
    """Translates exceptions; `on_bug(id, error)` is told of each bug."""

    def __init__(self, on_bug: Callable[[str, BaseException], None]):
        self._on_bug = on_bug

    def translate(self, error: BaseException) -> MailProxyError:
        """Give the error of the contract that `error` comes to."""
        if isinstance(error, MailProxyError):
            return error
        if database_away(error):
            return Unavailable(
                "DATABASE_UNAVAILABLE",
                "the database does not answer; send the call again with the same request_id",
                RETRY_AFTER,
            )
        bug = secrets.token_hex(8)
        self._on_bug(bug, error)
        return InternalError(
            "INTERNAL", f"a fault of the server's own; its log has it under {bug}", {"id": bug}
        )


def database_away(error: BaseException) -> bool:
    """Whether `error` says that PostgreSQL cannot be reached or does not answer just now."""
    if isinstance(error, _AWAY):
        return True
    if isinstance(error, asyncpg.InterfaceError):  # a closed connection, but not bad arguments
        return not isinstance(error, ValueError)
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        return error.connection_invalidated or state.startswith("08") or state in _AWAY_STATES
    return False
