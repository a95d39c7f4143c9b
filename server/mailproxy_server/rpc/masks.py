"""Which fields an update sets (AIP-134): those of its mask, or those that are populated. Pure."""

from collections.abc import Collection, Iterable

from google.protobuf.message import Message

from mailproxy_server.mail.errors import invalid


def fields_to_set(
    asked: Message,
    mask: Iterable[str],
    settable: Collection[str],
    output_only: Collection[str],
    what: str,
) -> tuple[str, ...]:
    """Give the fields that an update sets: the mask's, all for "*", or the populated.

    `what` is "an account", for words. Raises InvalidFields for a path that is no field of it.
    """
    paths = tuple(mask)
    if not paths:
        return tuple(field.name for field, _ in asked.ListFields() if field.name in settable)
    if "*" in paths:
        if len(paths) > 1:
            raise invalid("update_mask", '"*" stands alone')
        return tuple(settable)
    for path in paths:
        if path not in settable and path not in output_only:
            names = ", ".join(settable)
            raise invalid("update_mask", f"{path[:64]!r} is not a field of {what}: {names}")
    return tuple(dict.fromkeys(path for path in paths if path in settable))
