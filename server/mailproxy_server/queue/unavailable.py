"""The one rule that says when PostgreSQL cannot do something just now, and what follows.

Everybody who talks to the database asks here: the front, the dispatcher, the outbox, the page, the
commands. What is unavailable passes by itself or by an operator's hand, so the same work is to be
tried again; anything else is the data's fault, or ours.

By SQLSTATE (PostgreSQL, appendix A): connections (08), resources (53), transactions that were
rolled back for others' sake (40), operator intervention (57P, and a time limit, 57014), the system
(58), a read-only server (25006), a session that idled for too long (25P03), a lock that was not to
be had (55P03), a login that is refused while we run (28: a password that is being changed), and a
database that is being made anew (3D000).
"""

import asyncpg

from mailproxy_server.mail.errors import Unavailable

RETRY_AFTER = 1.0
"""Seconds after which to try again."""
MEMORY = "53200"

_CLASSES = ("08", "28", "40", "53", "57P", "58")
_STATES = frozenset({"25006", "25P03", "3D000", "55P03", "57014"})
_READ_ONLY = "25006"
_LOST = ("08", "57P")
_ROOM = ("53", "58")
_WORDS = {
    "25006": "it is read-only",
    "28": "it refuses the login",
    "3D000": "it does not exist",
    "42501": "the role lacks a privilege",
    "53100": "its disk is full",
    "53200": "it is short of memory",
    "53300": "it has no connection left",
    "57014": "it does not answer in time",
    "57P03": "it is starting, or being stopped",
    "58": "its disk fails",
}
"""By SQLSTATE or its class, for people."""
_SQLALCHEMY = frozenset({"TimeoutError", "OperationalError", "InterfaceError"})


class CannotConnect(ConnectionError):
    """No session could be made; the text is the first line of what the last host said."""


class NotOurs(ConnectionError):
    """A session could be made, but is not to be used: the text says why, and the remedy."""


def sqlstate_of(error: BaseException) -> str:
    """Give the SQLSTATE that the server answered with, through SQLAlchemy too; "" without one."""
    for each in (error, getattr(error, "orig", None), error.__cause__):
        state = getattr(each, "sqlstate", None)
        if isinstance(state, str):
            return state
    return ""


def is_unavailable(error: BaseException) -> bool:
    """Whether `error` says that the database does not answer, or cannot do this just now."""
    if isinstance(error, Unavailable):
        return error.reason in {"DATABASE_UNAVAILABLE", "OUT_OF_MEMORY"}
    if isinstance(
        error, CannotConnect | NotOurs
    ):  # whatever the reason: it may be mended meanwhile
        return True
    if state := sqlstate_of(error):
        return state.startswith(_CLASSES) or state in _STATES
    if isinstance(error, asyncpg.InterfaceError):  # a connection that was closed; not bad arguments
        return not isinstance(error, ValueError)
    if isinstance(error, OSError | asyncpg.InternalClientError):  # a time-out is an OSError
        return True
    # By name: a process that does not use SQLAlchemy need not load it for this.
    kind = type(error)
    ours = kind.__module__ == "sqlalchemy.exc" and kind.__name__ in _SQLALCHEMY
    return ours or bool(getattr(error, "connection_invalidated", False))


def is_stale(error: BaseException) -> bool:
    """Whether other open connections are likely as useless as the one that met `error`: it was
    lost, did not answer in time, or leads to a server that takes no writes (any more)."""
    state = sqlstate_of(error)
    if state:
        return state == _READ_ONLY or state.startswith(_LOST)
    return is_unavailable(error)


def is_without_room(error: BaseException) -> bool:
    """Whether the server takes no writes for want of something, or by a fault of its disk: a
    session that only looks does not notice."""
    return sqlstate_of(error).startswith(_ROOM)


def why(error: BaseException) -> str:
    """Say in words for everybody, so without names, addresses or values, what the database does
    or does not."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__
    for each in chain:
        if isinstance(each, NotOurs):
            return str(each)
        if state := sqlstate_of(each):
            words = _WORDS.get(state) or _WORDS.get(state[:2])
            return words or f"it refuses what it is asked for (SQLSTATE {state})"
    if any(isinstance(each, TimeoutError) for each in chain):
        return "it does not answer in time"
    return "it cannot be reached"


def unavailable(error: BaseException | None = None) -> Unavailable:
    """Give the error for callers; of what the server said only whether it was short of memory."""
    if error is not None and sqlstate_of(error) == MEMORY:
        return Unavailable(
            "OUT_OF_MEMORY",
            "the queue's database is short of memory; send the same request again later, with the "
            "same request_id so that it is queued once",
            retry_after=5 * RETRY_AFTER,
        )
    return Unavailable(
        "DATABASE_UNAVAILABLE",
        "the queue's database does not answer, or takes no writes just now; send the same request "
        "again, with the same request_id so that it is queued once",
        retry_after=RETRY_AFTER,
    )
