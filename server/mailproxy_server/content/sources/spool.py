"""A file on its way: digested as it comes, in memory while it is small, else on the disk."""

import hashlib
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

from mailproxy_server.content.sources.beside import Beside


class TooLarge(Exception):
    """More came than may; nothing of it is kept."""


class Spool:
    """A context that holds one file of at most `limit` octets until it ends."""

    def __init__(self, limit: int, memory: int) -> None:
        self.limit = limit
        self.octets = 0
        self._memory = memory
        self._file = SpooledTemporaryFile(max_size=memory)  # noqa: SIM115 - closed by __exit__
        self._threads = Beside(self._file.close)
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    @property
    def sha256(self) -> bytes:
        """The digest of what came so far."""
        return self._sha256.digest()

    @property
    def md5(self) -> bytes:
        """The other digest, which old names carry."""
        return self._md5.digest()

    async def write(self, octets: bytes) -> None:
        """Take the next piece; raises `TooLarge`."""
        self.octets += len(octets)
        if self.octets > self.limit:
            raise TooLarge
        if self.octets <= self._memory:
            self._take(octets)
        else:
            await self._threads.run(self._take, octets)

    async def chunks(self, octets: int) -> AsyncIterator[bytes]:
        """Give all of it in chunks of so many octets, the last of them shorter."""
        self._file.seek(0)
        while chunk := await self._read(octets):
            yield chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.close()

    def _take(self, octets: bytes) -> None:
        self._sha256.update(octets)
        self._md5.update(octets)
        self._file.write(octets)

    async def _read(self, octets: int) -> bytes:
        if self.octets <= self._memory:
            return self._file.read(octets)
        return await self._threads.run(self._file.read, octets)
