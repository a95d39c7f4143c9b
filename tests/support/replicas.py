"""Servers on a database that the test gives: as many as it likes, each in a run of its own."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from mailproxy import AsyncMailProxyClient

from tests.support.serving import REAL, Run, ended_after
from tests.support.telling import tell

KEY = "0123456789abcdef0123456789abcdef0123456789A="
TOKEN = "token-of-the-tests"


def environment_of(database_url: str) -> dict[str, str]:
    """Give the settings of a server that needs no data directory."""
    return {
        "MAILPROXY_DATABASE_URL": database_url,
        "MAILPROXY_SECRET_KEY": KEY,
        "MAILPROXY_BOOTSTRAP_TOKEN": TOKEN,
        "MAILPROXY_LOG_LEVEL": "warning",
    }


@asynccontextmanager
async def replica(
    folder: Path,
    database_url: str,
    *arguments: str,
    settings: Mapping[str, float | str] | None = None,
    program: Sequence[str] = REAL,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Run]:
    """Run one until the block ends; settings by their names, as {"lease_seconds": 2}, other
    variables as they are."""
    named = {f"MAILPROXY_{name.upper()}": str(value) for name, value in (settings or {}).items()}
    environment = environment_of(database_url) | named | dict(variables or {})
    data_dir = folder / f"replica-{secrets.token_hex(3)}"
    with ended_after(data_dir):
        run = Run(data_dir, *arguments, environment=environment, program=program)
        try:
            await asyncio.to_thread(run.ready)
            yield run
            await asyncio.to_thread(run.stop)
        except BaseException:
            tell(f"--- {arguments} {run.pid}\n{run.err[-4000:]}")
            run.kill()
            raise


@contextmanager
def stopped_process(pid: int) -> Iterator[Callable[[], None]]:
    """Stop a process for the length of the block, or until what is given is called."""

    def resume() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    os.kill(pid, signal.SIGSTOP)
    try:
        yield resume
    finally:
        resume()


def client_of(run: Run, *, timeout: float = 60) -> AsyncMailProxyClient:
    """Give a client of a front."""
    return AsyncMailProxyClient(run.grpc, TOKEN, timeout=timeout)
