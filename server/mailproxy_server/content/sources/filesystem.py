"""Attachments from the server's files: regular ones below a root, reached without any link.

Each name on the way is opened from the folder before it, never following a link, so that nothing
that is swapped meanwhile leads elsewhere.
"""

import errno
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mailproxy.v1 import message_pb2

from mailproxy_server.content.sources.beside import Beside
from mailproxy_server.content.sources.source import PIECE, Unfetchable
from mailproxy_server.content.vetting import Refused, vet_path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MANY = 16 * PIECE


class Filesystem:
    """The source `filesystem`."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(roots)

    def origin(self, file: message_pb2.Attachment) -> str:
        """Give one for all: they share the disk."""
        return "file:"

    @asynccontextmanager
    async def open(self, file: message_pb2.Attachment) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open it beneath its root."""
        try:
            root, names = vet_path(file.filesystem, self._roots)
        except Refused as refused:
            raise Unfetchable(str(refused)) from None
        opened = _Opened()
        threads = Beside(opened.close)
        try:
            await threads.run(opened.open, root, names)
            yield _pieces(threads, opened)
        finally:
            threads.close()


class _Opened:
    """The descriptor of a file, once it is there."""

    def __init__(self) -> None:
        self._number = -1

    def open(self, root: str, names: Sequence[str]) -> None:
        self._number = open_beneath(root, names)

    def read(self) -> bytes:
        return os.read(self._number, _MANY)

    def close(self) -> None:
        if self._number >= 0:
            os.close(self._number)


def open_beneath(root: str, names: Sequence[str]) -> int:
    """Give a descriptor of the regular file that `names` lead to; raises `Unfetchable`."""
    *folders, last = names
    try:
        # The root is the operator's word, and may be a link.
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in folders:
            here = _step(here, name, _FOLDER)
        found = _step(here, last, _FILE)
    except OSError as error:
        raise _fault(error) from None
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise Unfetchable("it is not a regular file")
    return found


def _step(folder: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    finally:
        os.close(folder)


def _fault(error: OSError) -> Unfetchable:
    if isinstance(error, FileNotFoundError):
        return Unfetchable("there is no such file")
    if isinstance(error, PermissionError):
        return Unfetchable("the server may not read it")
    if isinstance(error, NotADirectoryError) or error.errno in (errno.ELOOP, errno.ENXIO):
        return Unfetchable("a link, or something else that is no folder or file, is on the way")
    return Unfetchable("it cannot be read", passing=True)


async def _pieces(threads: Beside, opened: _Opened) -> AsyncIterator[bytes]:
    while True:
        try:
            octets = await threads.run(opened.read)
        except OSError as error:
            raise _fault(error) from None
        if not octets:
            return
        yield octets
