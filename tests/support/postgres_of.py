"""A PostgreSQL made from any installation's programs, to run tests on another version."""

import asyncio
import os
import pwd
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg

_SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=200", "listen_addresses=")


class PostgresOf:
    """Runs `postgres` of `programs` with its data below `folder`; as nobody when we are root.

    `variables` are added to its environment.
    """

    def __init__(self, programs: Path, folder: Path, variables: Mapping[str, str] | None = None):
        self._environment = {**os.environ, **(variables or {})}
        self._programs = programs
        self._folder = folder / "other"
        self._user = "nobody" if os.geteuid() == 0 else None
        self._process: asyncio.subprocess.Process | None = None

    def url_of(self, database: str) -> str:
        return f"postgresql://mailproxy@/{database}?host={quote(str(self._folder))}"

    async def start(self) -> None:
        self._folder.mkdir(mode=0o700)
        if self._user:
            os.chown(self._folder, *user_ids(self._user))
        data = str(self._folder / "data")
        made = await self._run(
            "initdb", "-D", data, "-A", "trust", "-U", "mailproxy", "-E", "UTF8", "--no-sync"
        )
        assert await made.wait() == 0
        settings = [word for one in _SETTINGS for word in ("-c", one)]
        self._process = await self._run("postgres", "-D", data, "-k", str(self._folder), *settings)
        async with asyncio.timeout(30):
            while not await self._answers():
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # does not wait for who is still connected
            await self._process.wait()

    async def _answers(self) -> bool:
        try:
            await (await asyncpg.connect(self.url_of("postgres"))).close()
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    async def _run(self, program: str, *arguments: str) -> asyncio.subprocess.Process:
        null = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(
            self._programs / program, *arguments,
            stdout=null, stderr=null, cwd="/", env=self._environment,
            user=self._user, extra_groups=[] if self._user else None,
        )  # fmt: skip


def user_ids(name: str) -> tuple[int, int]:
    """Give the uid and the gid of a user."""
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid
