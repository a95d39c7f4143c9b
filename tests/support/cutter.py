"""A proxy between the server and PostgreSQL that cuts connections where it hurts most.

    async with Cutter(url, folder, "INSERT INTO mailproxy.requests") as cutter:
        ...run the server on cutter.url...
        cutter.plan([Cut.ANSWER] * 50)

It reads the frontend protocol as it passes and knows the executions of statements that hold
the given words. Each execution takes the next of `cuts`.
"""

import asyncio
import contextlib
import enum
from collections import deque
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

_SOCKET = ".s.PGSQL.5432"


class Cut(enum.Enum):
    """What happens to an execution."""

    NO = "it passes"
    COMMAND = "the connection is cut as soon as the command has been passed on"
    ANSWER = "the connection is cut when the answer comes, which is swallowed"


class Cutter:
    """Listens on a Unix socket in `folder` and passes on to the socket that `url` names."""

    def __init__(self, url: str, folder: Path, words: str):
        target = parse_qs(urlsplit(url).query)["host"][0]
        self.url = f"{url.partition('?')[0]}?host={quote(str(folder))}"
        self.cuts: deque[Cut] = deque()
        self.done = 0
        """Connections that were cut."""
        self.words = words.encode()
        self._target = f"{target}/{_SOCKET}"
        self._path = folder / _SOCKET
        self._passages: set[asyncio.Task[None]] = set()

    def plan(self, cuts: Iterable[Cut]) -> None:
        """Do this to the next executions."""
        self.cuts.extend(cuts)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._accept, self._path)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        passages = list(self._passages)
        for passage in passages:
            passage.cancel()
        await asyncio.gather(*passages, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._passages.add(task)
        try:
            onward, outward = await asyncio.open_unix_connection(self._target)
            try:
                await _Passage(self, reader, writer, onward, outward).run()
            finally:
                outward.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # PostgreSQL is away, somebody hung up, or the test is over
        finally:
            writer.transport.abort()
            self._passages.discard(task)


class _Passage:
    """One connection."""

    def __init__(
        self,
        cutter: Cutter,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._cutter = cutter
        self._client, self._to_client = client, to_client
        self._server, self._to_server = server, to_server
        self._statements: set[bytes] = set()
        self._started = False
        self._cut_at_answer = False

    async def run(self) -> None:
        """Pass on until either side ends or a cut is due."""
        ways = [asyncio.create_task(self._commands()), asyncio.create_task(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _commands(self) -> None:
        async for kind, message in self._messages():
            self._to_server.write(message)
            if kind == b"P" and self._cutter.words in message:
                self._statements.add(message[5:].partition(b"\0")[0])
            elif kind == b"B" and message[5:].split(b"\0", 2)[1] in self._statements:
                await self._execute()
                if self._cutter.cuts and (cut := self._cutter.cuts.popleft()) is not Cut.NO:
                    self._cutter.done += 1
                    self._cut_at_answer = cut is Cut.ANSWER
                    if cut is Cut.COMMAND:
                        return
            await self._to_server.drain()

    async def _execute(self) -> None:
        """Pass on what follows a Bind, up to its Sync."""
        async for kind, message in self._messages():
            self._to_server.write(message)
            if kind == b"S":
                await self._to_server.drain()
                return

    async def _messages(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Give each whole message with its kind; the first one has none."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await self._client.readexactly(5 if self._started else 4)
                rest = await self._client.readexactly(int.from_bytes(head[-4:]) - 4)
                kind = head[:1] if self._started else b""
                self._started = True
                yield kind, head + rest

    async def _answers(self) -> None:
        while chunk := await self._server.read(1 << 16):
            if self._cut_at_answer:
                return
            self._to_client.write(chunk)
            await self._to_client.drain()
