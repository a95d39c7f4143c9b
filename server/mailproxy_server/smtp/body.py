"""A content that is not in memory as a whole: it comes in blocks while it is sent."""

from collections.abc import AsyncIterator
from typing import Protocol


class BodyLost(Exception):
    """The rest of the content cannot be had; the text says why. No dot may follow what was sent."""


class Body(Protocol):
    """CRLF line ends, the last of them at its end; not dot-stuffed."""

    @property
    def size(self) -> int:
        """Its octets (RFC 1870)."""
        ...

    def blocks(self) -> AsyncIterator[bytes]:
        """Give it from its beginning, a piece at a time; raises `BodyLost`."""
        ...


def size_of(content: bytes | Body) -> int:
    """Give the octets that are sent of a content, stuffing aside."""
    if not isinstance(content, bytes):
        return content.size
    return len(content) if content.endswith(b"\r\n") else len(content) + 2
