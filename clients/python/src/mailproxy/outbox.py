"""Mail that commits with your own transaction: no server is called, only your database.

    with Session(engine) as session, session.begin():
        session.add(order)
        outbox.submit(session, to="ann@example.com", from_address="shop@example.com",
                      subject="Your order", text="Thank you.", request_id=f"order-{order.id}")

The email is sent if, and only if, the transaction commits. Works on what you have open: a
DB-API connection or cursor (psycopg, Django), SQLAlchemy's Session or Connection, and with
`submit_async` asyncpg, psycopg's AsyncConnection, and SQLAlchemy's AsyncSession or
AsyncConnection. Never commits, and never begins a transaction of its own.
"""

from typing import Any, Unpack

from google.protobuf.json_format import MessageToJson

from mailproxy.message import Message, to_request

_ARGUMENTS = ("email", "request_id", "tenant", "traceparent")
_CASTS = ("json", "text", "text", "text")


def submit(connection: Any, *, tenant: str = "default", **message: Unpack[Message]) -> None:
    """Put a message into the outbox, within the transaction that `connection` is in.

    The message's fields are those of `Message`; a request_id of its own is made where none is
    given. Raises InvalidArgument for what cannot be written down, TypeError for a connection of
    another kind, and the driver's own errors; other faults of the message come as a report.
    """
    values = _values(message, tenant)
    if _is_sqlalchemy(connection):
        connection.execute(*_named(values))
    elif hasattr(connection, "cursor"):
        with connection.cursor() as cursor:
            cursor.execute(_placed("%s"), values)
    elif hasattr(connection, "execute") and hasattr(connection, "fetchone"):
        connection.execute(_placed("%s"), values)
    else:
        raise TypeError(f"{_name(connection)} is neither a DB-API connection nor SQLAlchemy's")


async def submit_async(
    connection: Any, *, tenant: str = "default", **message: Unpack[Message]
) -> None:
    """Put a message into the outbox, as `submit` does, by an asynchronous connection."""
    values = _values(message, tenant)
    if _is_sqlalchemy(connection):
        await connection.execute(*_named(values))
    elif hasattr(connection, "fetchval"):
        numbered = ", ".join(f"${n}::{cast}" for n, cast in enumerate(_CASTS, 1))
        await connection.execute(f"SELECT mailproxy.submit({numbered})", *values)
    elif hasattr(connection, "cursor"):
        async with connection.cursor() as cursor:
            await cursor.execute(_placed("%s"), values)
    else:
        raise TypeError(f"{_name(connection)} is neither asyncpg's, psycopg's nor SQLAlchemy's")


def _values(message: Message, tenant: str) -> tuple[str | None, ...]:
    request = to_request(message)
    email = MessageToJson(request.email, indent=None, preserving_proto_field_name=True)
    return email, request.request_id, tenant, request.traceparent or None


def _placed(mark: str) -> str:
    places = ", ".join(f"CAST({mark} AS {cast})" for cast in _CASTS)
    return f"SELECT mailproxy.submit({places})"


def _named(values: tuple[str | None, ...]) -> tuple[Any, dict[str, str | None]]:
    from sqlalchemy import text

    places = ", ".join(
        f"CAST(:{name} AS {cast})" for name, cast in zip(_ARGUMENTS, _CASTS, strict=True)
    )
    statement = text(f"SELECT mailproxy.submit({places})")
    return statement, dict(zip(_ARGUMENTS, values, strict=True))


def _is_sqlalchemy(connection: Any) -> bool:
    return any(kind.__module__.startswith("sqlalchemy.") for kind in type(connection).__mro__)


def _name(connection: Any) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"
