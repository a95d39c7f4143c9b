"""Finds what a message holds that this server's contract does not name.

For the slow path alone: the caller has noticed already that there is something.
"""

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet


def find_unknown(message: Message) -> str | None:
    """Give the first unknown field as "email.composed: unknown field 99", or None.

    Before the colon is the path of its parent from `message`, or "request" for itself.
    """
    return _find(message, "")


def _find(message: Message, path: str) -> str | None:
    unknown = UnknownFieldSet(message)
    if len(unknown):
        return f"{path or 'request'}: unknown field {unknown[0].field_number}"
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        inner = f"{path}.{field.name}" if path else field.name
        for place, child in _children(value, inner):
            found = _find(child, place)
            if found:
                return found
    return None


def _children(value: object, path: str) -> list[tuple[str, Message]]:
    """The messages in a field: itself, or those of a repeated or map field."""
    if isinstance(value, Message):
        return [(path, value)]
    if hasattr(value, "items"):
        entries = value.items()
        return [(f'{path}["{k}"]', v) for k, v in entries if isinstance(v, Message)]
    return [(f"{path}[{i}]", child) for i, child in enumerate(value)]  # type: ignore[arg-type, var-annotated]
