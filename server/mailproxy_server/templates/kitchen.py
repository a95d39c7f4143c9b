"""Owns the processes that render, and the time that a template may take.

A tenant has one at a time, so that whoever writes a template that never ends waits for it alone.
"""

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from mailproxy_server.templates.template import RENDERED_LIMIT, Flaw, Sources

PROGRAM = (sys.executable, "-P", "-m", "mailproxy_server.templates.worker")
MOST = 4
"""Processes of one front."""
SECONDS = 2.0
"""For one rendering, with the start of a process besides."""
START_SECONDS = 20.0
_LINE = 8 * RENDERED_LIMIT


class Kitchen:
    """Renders, in at most `MOST` processes, which are started when they are needed."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._idle: deque[asyncio.subprocess.Process] = deque()
        self._places = asyncio.Semaphore(MOST)
        self._tenants: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def read(self, tenant_id: UUID, sources: Sources) -> tuple[str, ...]:
        """Give the variables that sources use; raises `Flaw`."""
        answer = await self._ask(tenant_id, {"sources": asdict(sources)})
        return tuple(answer["used"])

    async def render(
        self, tenant_id: UUID, sources: Sources, variables: Mapping[str, Any]
    ) -> Sources:
        """Give what comes of sources with these variables; raises `Flaw`."""
        answer = await self._ask(tenant_id, {"sources": asdict(sources), "variables": variables})
        return Sources(**answer["made"])

    async def close(self) -> None:
        """End the processes."""
        while self._idle:
            await _end(self._idle.popleft())

    async def _ask(self, tenant_id: UUID, request: Mapping[str, Any]) -> dict[str, Any]:
        turn = self._tenants.setdefault(tenant_id, asyncio.Lock())
        async with turn, self._places:
            line = await self._line(json.dumps(request).encode() + b"\n")
        if not line:
            raise Flaw("", "takes more memory than rendering may")
        answer: dict[str, Any] = json.loads(line)
        if "flaw" in answer:
            raise Flaw(*answer["flaw"])
        return answer

    async def _line(self, request: bytes) -> bytes:
        """Give a process a request; one that does not answer it is ended."""
        worker = self._idle.pop() if self._idle else await _start()
        line = b""
        try:
            line = await self._answer(worker, request)
        finally:
            if line.endswith(b"\n"):
                self._idle.append(worker)
            else:
                await asyncio.shield(_end(worker))
        return line

    async def _answer(self, worker: asyncio.subprocess.Process, request: bytes) -> bytes:
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            async with asyncio.timeout(self._seconds):
                with suppress(ConnectionError):
                    worker.stdin.write(request)
                    await worker.stdin.drain()
                return await worker.stdout.readline()
        except TimeoutError:
            raise Flaw("", f"takes longer than {self._seconds:g} s") from None


async def _start() -> asyncio.subprocess.Process:
    """Start a process and wait until it has loaded what it needs."""
    worker = await asyncio.create_subprocess_exec(
        *PROGRAM,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        limit=_LINE,
        start_new_session=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            worker.stdin.write(b'{"sources": {}}\n')
            await worker.stdin.drain()
            await worker.stdout.readline()
    except BaseException:
        await asyncio.shield(_end(worker))
        raise
    return worker


async def _end(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    await worker.wait()
