"""What a source of attachments is, and how it says that it cannot give one."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from mailproxy.v1 import message_pb2

PIECE = 64 * 1024
"""Octets that are asked of a source at once."""


class Unfetchable(Exception):
    """The file cannot be had; the text says why, and holds no secret.

    `passing`: it may be there later.
    """

    def __init__(self, why: str, *, passing: bool = False) -> None:
        super().__init__(why)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: until a connection stands, between two pieces, and for the whole."""

    connect: float = 10.0
    read: float = 30.0
    total: float = 120.0


class Source(Protocol):
    """One kind of source."""

    def origin(self, file: message_pb2.Attachment) -> str:
        """Give what is asked for it: those of one origin are fetched a few at a time."""
        ...

    def open(
        self, file: message_pb2.Attachment
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Begin to fetch; gives pieces of it as they come. Raises `Unfetchable`, also between
        pieces."""
        ...
