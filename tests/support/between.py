"""What stands between a server and its PostgreSQL: a forwarder that can be cut or frozen."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Between:
    """Forwards a loopback port to the Unix socket of a database; `url` goes through it."""

    url: str = ""
    _path: str = ""
    _port: int = 0
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def cut(self) -> None:
        """Refuse connections from now on and break those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def freeze(self) -> None:
        """Take everything in and pass nothing on, as a network that swallows packets."""
        self._open.clear()

    def lose(self) -> None:
        """Swallow what there is for ever, as a firewall that forgot it; what is new passes."""
        self._open.clear()
        self._open = asyncio.Event()
        self._open.set()

    async def restore(self) -> None:
        """Forward as if nothing had been."""
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            inner, outer = await asyncio.open_unix_connection(self._path)
            try:
                await self._carry_both(reader, writer, inner, outer)
            finally:
                outer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # one side left, or it was cut
        finally:
            writer.transport.abort()

    async def _carry_both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        inner: asyncio.StreamReader,
        outer: asyncio.StreamWriter,
    ) -> None:
        ways = [
            asyncio.ensure_future(_carry(reader, outer, self._open)),
            asyncio.ensure_future(_carry(inner, writer, self._open)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
) -> None:
    while data := await reader.read(65536):
        await gate.wait()
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def between(url: str) -> AsyncIterator[Between]:
    """Stand before the database of `url` for the length of the block."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query)["host"][0]
    one = Between(_path=f"{folder}/.s.PGSQL.5432")
    await one.restore()
    one.url = f"postgresql://{parts.username}@127.0.0.1:{one._port}{parts.path}"
    try:
        yield one
    finally:
        with contextlib.suppress(OSError):
            await one.cut()
