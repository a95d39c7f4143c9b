"""Plain Python values and the protobuf values that they become.

Pure. What the server checks is not checked here: only what names no value is refused.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mailproxy.fault import invalid
from mailproxy.v1 import message_pb2

MailboxLike: TypeAlias = str | message_pb2.Mailbox
"""One mailbox: "ann@example.com", "Ann <ann@example.com>", or the protobuf message."""
Mailboxes: TypeAlias = MailboxLike | Iterable[MailboxLike]
"""One mailbox, or several; a string is always one."""

Length: TypeAlias = timedelta | float
"""A length of time; a number is one of seconds."""

_NAMED = re.compile(
    r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<name>[^<]*?))\s*<(?P<address>.*)>\s*\Z', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def mailbox(given: MailboxLike) -> message_pb2.Mailbox:
    """Give one mailbox; a name may stand before the address in angle brackets."""
    if isinstance(given, message_pb2.Mailbox):
        return given
    if "<" in given and (named := _NAMED.match(given)):
        quoted = named["quoted"]
        name = named["name"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        return message_pb2.Mailbox(address=named["address"], display_name=name)
    return message_pb2.Mailbox(address=given)


def mailboxes(given: Mailboxes) -> list[message_pb2.Mailbox]:
    """Give the mailboxes of one that is given alone, or of several."""
    if isinstance(given, str | message_pb2.Mailbox):
        return [mailbox(given)]
    return [mailbox(each) for each in given]


def timestamp(when: datetime, field: str) -> Timestamp:
    """Give a Timestamp; a time without a zone is refused, since it names no instant."""
    if when.tzinfo is None:
        raise invalid(field, "needs a time zone, as datetime.now(UTC) has one")
    stamp = Timestamp()
    stamp.FromDatetime(when)
    return stamp


def duration(length: Length) -> Duration:
    """Give a Duration."""
    value = Duration()
    value.FromTimedelta(length if isinstance(length, timedelta) else timedelta(seconds=length))
    return value


NumberT = TypeVar("NumberT", bound=int, covariant=True)


class Enum(Protocol[NumberT]):
    """A protobuf enum."""

    def Value(self, name: str) -> NumberT:  # noqa: N802
        """Give the number of a name."""

    def keys(self) -> list[str]:
        """Give all names."""


def number(enum: Enum[NumberT], prefix: str, given: str | int, field: str) -> NumberT:
    """Give an enum's number for its name without `prefix` in any case, or for a number.

    A number that this client does not know passes: the server may know it.
    """
    if isinstance(given, int):
        return given  # type: ignore[return-value]
    name = prefix + given.upper().replace("-", "_")
    if name not in enum.keys():  # noqa: SIM118
        known = ", ".join(key.removeprefix(prefix).lower() for key in enum.keys()[1:])
        raise invalid(field, f"is not {given!r} but one of {known}")
    return enum.Value(name)
