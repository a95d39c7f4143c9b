"""Finding a message by what a caller names it by."""

from uuid import UUID

from mailproxy_server.mail.errors import CallerError, invalid
from mailproxy_server.queue import read
from mailproxy_server.queue.hot import Connection


def parse_id(text: str, field: str) -> UUID:
    """Give the message id in `text`, or raise `InvalidFields`."""
    try:
        return UUID(text)
    except ValueError:
        raise invalid(field, "is not a message id, as SubmitMessage returns it") from None


async def find(link: Connection, tenant_id: UUID, message_id: str, request_id: str) -> UUID:
    """Give the id of the tenant's message named by either; raise MESSAGE_NOT_FOUND."""
    if message_id:
        return parse_id(message_id, "message_id")
    if not request_id:
        raise invalid("message_id", "give message_id or request_id")
    found = await read.by_request(link, tenant_id, request_id)
    if found is None:
        raise not_found(f"request_id {request_id!r}")
    return found


async def existing(link: Connection, tenant_id: UUID, message_id: str, request_id: str) -> UUID:
    """Give the id of the tenant's message named by either, which there is; else raise
    MESSAGE_NOT_FOUND."""
    found = await find(link, tenant_id, message_id, request_id)
    if not await read.exists(link, tenant_id, found):
        raise not_found(f"message_id {found}")
    return found


def not_found(name: str) -> CallerError:
    """Give the error for a message that this tenant does not have."""
    return CallerError(
        "MESSAGE_NOT_FOUND", f"there is no message with {name}; it may have aged out"
    )
