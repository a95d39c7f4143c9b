"""Programs that a test runs: they end with the test, whatever happened."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any


@asynccontextmanager
async def running(*command: str | Path, **how: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one for the length of the block; what has not ended by then is killed."""
    process = await asyncio.create_subprocess_exec(*command, **how)
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


@asynccontextmanager
async def drained(*command: str | Path, **how: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one for the length of the block; then it has ten seconds to end by SIGTERM."""
    async with running(*command, **how) as process:
        try:
            yield process
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=10)


@contextmanager
def beside(*command: str | Path, **how: Any) -> Iterator["subprocess.Popen[Any]"]:
    """Run one without a loop for the length of the block; what has not ended by then is killed."""
    with subprocess.Popen(command, **how) as process:
        try:
            yield process
        finally:
            process.kill()
