"""Mail that commits with your own transaction: no server is called, only your database.

    with Session(engine) as session, session.begin():
        session.add(order)
        outbox.submit(session, to="ann@example.com", from_address="shop@example.com",
                      subject="Your order", text="Thank you.", request_id=f"order-{order.id}")

The email is sent if, and only if, the transaction commits. Works on what you have open: a
DB-API connection or cursor (psycopg, Django), SQLAlchemy's Session or Connection, and with
`submit_async` asyncpg, psycopg's AsyncConnection, and SQLAlchemy's AsyncSession or
AsyncConnection. Never commits, and never begins a transaction of its own. Loads no gRPC.
"""

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, TypeAlias, Unpack

from google.protobuf.json_format import MessageToJson

from mailproxy.message import Message, prepared, to_request
from mailproxy.v1 import message_pb2

Values: TypeAlias = tuple[str | None, ...]

_ARGUMENTS = ("email", "request_id", "tenant", "traceparent")


def submit(
    connection: Any,
    email: message_pb2.Email | None = None,
    /,
    *,
    tenant: str = "default",
    **message: Unpack[Message],
) -> None:
    """Put a message into the outbox, within the transaction that `connection` is in.

    The message's fields are those of `Message`, or it is an Email of the contract, with its
    request_id beside it. A request_id of its own is made where none is given. Raises
    `InvalidRequestError` for what cannot be written down, TypeError for a connection of another
    kind, and the driver's own errors; all else that is wrong with it comes as a report.
    """
    values = _values(email, message, tenant)
    execute = getattr(connection, "execute", None)
    if _waits(connection) or not (execute or hasattr(connection, "cursor")):
        raise TypeError(f"{_name(connection)} is neither a DB-API connection nor SQLAlchemy's")
    if _is_sqlalchemy(connection):
        connection.execute(*_named(values))
    elif hasattr(connection, "cursor"):
        with connection.cursor() as cursor:
            cursor.execute(_statement(lambda _: "%s"), values)
    else:
        connection.execute(_statement(lambda _: "%s"), values)


async def submit_async(
    connection: Any,
    email: message_pb2.Email | None = None,
    /,
    *,
    tenant: str = "default",
    **message: Unpack[Message],
) -> None:
    """Put a message into the outbox, as `submit` does, by an asynchronous connection."""
    values = _values(email, message, tenant)
    if not _waits(connection):
        raise TypeError(f"{_name(connection)} is neither asyncpg's, psycopg's nor SQLAlchemy's")
    if _is_sqlalchemy(connection):
        await connection.execute(*_named(values))
    elif hasattr(connection, "fetchval"):
        numbered = _statement(lambda name: f"${_ARGUMENTS.index(name) + 1}")
        await connection.execute(numbered, *values)
    else:
        await connection.execute(_statement(lambda _: "%s"), values)


def _values(email: message_pb2.Email | None, message: Message, tenant: str) -> Values:
    if message.get("validate_only"):
        raise TypeError("validate_only is for a server: writing to an outbox checks nothing")
    if email is None:
        request = prepared(to_request(message))
    elif others := message.keys() - {"request_id"}:
        raise TypeError(f"cannot be given beside an Email: {', '.join(sorted(others))}")
    else:
        given = message.get("request_id") or ""
        request = prepared(message_pb2.SubmitMessageRequest(email=email, request_id=given))
    text = MessageToJson(request.email, indent=None, preserving_proto_field_name=True)
    return text, request.request_id, tenant, request.traceparent or None


def _statement(place: Callable[[str], str]) -> str:
    """The email goes as text first: a connection may write json in a way of its own."""
    email, *others = (f"CAST({place(name)} AS text)" for name in _ARGUMENTS)
    return f"SELECT mailproxy.submit({', '.join([f'CAST({email} AS json)', *others])})"


def _named(values: Values) -> tuple[Any, dict[str, str | None]]:
    from sqlalchemy import text

    return text(_statement(lambda name: f":{name}")), dict(zip(_ARGUMENTS, values, strict=True))


def _waits(connection: Any) -> bool:
    """Whether it is asynchronous; asyncpg's pool hides that its methods are."""
    return hasattr(connection, "fetchval") or iscoroutinefunction(
        getattr(connection, "execute", None)
    )


def _is_sqlalchemy(connection: Any) -> bool:
    return any(kind.__module__.startswith("sqlalchemy.") for kind in type(connection).__mro__)


def _name(connection: Any) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"
