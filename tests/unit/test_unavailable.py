"""The rule of what the database cannot do just now, by SQLSTATE and by kind of error."""

import asyncpg
import pytest
import sqlalchemy.exc
from mailproxy_server.queue.unavailable import (
    CannotConnect,
    is_stale,
    is_unavailable,
    sqlstate_of,
    unavailable,
)


def said(state: str) -> asyncpg.PostgresError:
    error: asyncpg.PostgresError = asyncpg.PostgresError.new(
        {"C": state, "M": "words of the server"}
    )
    return error


def wrapped(error: BaseException) -> sqlalchemy.exc.DBAPIError:
    """As SQLAlchemy raises what asyncpg raised: inside an error of the adapter's."""
    adapter = Exception("adapter")
    adapter.__cause__ = error
    adapter.sqlstate = getattr(error, "sqlstate", None)  # type: ignore[attr-defined]
    return sqlalchemy.exc.DBAPIError("SELECT 1", None, adapter)


@pytest.mark.parametrize(
    ("state", "away", "stale"),
    [
        ("08006", True, True),  # connection failure
        ("25006", True, True),  # read-only: a standby, or fenced
        ("57P01", True, True),  # admin shutdown
        ("57P03", True, True),  # starting up
        ("53100", True, False),  # disk full
        ("53200", True, False),  # out of memory
        ("53300", True, False),  # too many connections
        ("58030", True, False),  # I/O error
        ("28P01", True, False),  # a password that is being rotated
        ("3D000", True, False),  # the database is being made anew
        ("55P03", True, False),  # a lock was not to be had
        ("57014", True, False),  # the statement's own time limit
        ("25P03", True, False),
        ("40P01", True, False),  # deadlock
        ("22001", False, False),  # data that does not fit
        ("23505", False, False),
        ("42501", False, False),  # privileges: an operator's mistake
        ("42P01", False, False),
        ("XX000", False, False),
    ],
)
def test_the_sqlstate_decides(state: str, away: bool, stale: bool) -> None:
    for error in (said(state), wrapped(said(state))):
        assert sqlstate_of(error) == state
        assert (is_unavailable(error), is_stale(error)) == (away, stale)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(113, "No route to host"), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (asyncpg.InternalClientError("got an answer out of turn"), True),
        (asyncpg.DataError("an argument cannot be encoded"), False),
        (CannotConnect("password authentication failed"), True),
        (sqlalchemy.exc.TimeoutError("QueuePool limit of size 2 reached"), True),
        (sqlalchemy.exc.ArgumentError("ours"), False),
        (ValueError("ours"), False),
        (KeyError("ours"), False),
    ],
)
def test_without_an_sqlstate_the_kind_decides(error: BaseException, away: bool) -> None:
    assert is_unavailable(error) is away


def test_a_shortage_of_memory_has_a_reason_of_its_own_and_no_words_of_the_server_pass() -> None:
    assert unavailable(said("53200")).reason == "OUT_OF_MEMORY"
    for state in ("53200", "25006"):
        error = unavailable(said(state))
        assert error.retry_after > 0
        assert "words of the server" not in error.message
