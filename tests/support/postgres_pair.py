"""Two PostgreSQLs, the one a streaming standby of the other, for tests of failover.

    async with postgres_pair(folder) as pair:
        url = await pair.make_database("mail")   # names both hosts
        ...
        await pair.caught_up()
        await pair.switch_over()                 # lossless
        await pair.rebuild()                     # the old primary is the standby now
        await pair.cut_replication()
        ...what commits from here on is lost...
        await pair.fail_over()

Replication is asynchronous unless `pair.primary.set("synchronous_standby_names", STANDBY)`. Each
node listens on a Unix socket alone, so that `between(node.url_of(...))` can stand before it too.
`pair.primary` and `pair.standby` are who is which just now: they change places at a promotion.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import psutil

from tests.support.between import Between, between
from tests.support.postgres_of import user_ids

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
"""Of Debian's package; the embedded PostgreSQL comes without pg_basebackup."""
STANDBY = "walreceiver"
"""What a standby calls itself; with "*" a commit might wait for a mere pg_basebackup."""
_SETTINGS = {
    "fsync": "off",  # a crash of the process loses nothing by it, and the machine's is not tested
    "listen_addresses": "",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "wal_keep_size": "256MB",  # so that a standby that was cut off can go on
    "wal_retrieve_retry_interval": "100ms",
}
_PATIENCE = 60


class Node:
    """One of the two: its data below `folder`, run as nobody when we are root.

    `variables` are added to the environment of its programs.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        # Not for `setpriv`: what libfaketime makes as root, it could not use as nobody.
        self._variables = ["=".join(item) for item in (variables or {}).items()]
        self._user = "nobody" if os.geteuid() == 0 else None
        self._process: asyncio.subprocess.Process | None = None
        folder.mkdir(mode=0o700)
        if self._user:
            os.chown(folder, *user_ids(self._user))

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def pid(self) -> int:
        """Of the postmaster, 0 when it does not run."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process is not None and running else 0

    def url_of(self, database: str) -> str:
        """Give the address of a database here."""
        return f"postgresql://mailproxy@/{database}?host={quote(str(self.folder))}"

    async def start(self) -> None:
        """Run it, and wait until it answers."""
        settings = [word for item in _SETTINGS.items() for word in ("-c", "=".join(item))]
        self._process = await self._spawn(
            "postgres", "-D", str(self.data), "-k", str(self.folder), *settings
        )
        await self.answered()

    async def answered(self) -> None:
        """Wait until it answers."""
        async with asyncio.timeout(_PATIENCE):
            while not await self._answers():
                assert self.pid, f"postgres ended: {self._tail()}"
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End it in order: a standby that is connected gets all there is."""
        await self._end(signal.SIGINT)

    async def crash(self) -> None:
        """End it and all its processes at once, with no checkpoint and nothing more sent."""
        await self._end(signal.SIGQUIT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all its processes for the length of the block."""
        first = psutil.Process(self.pid)
        stopped = [first, *first.children(recursive=True)]
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(stopped):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    async def fetchval(self, sql: str, *arguments: object, database: str = "postgres") -> Any:
        """Run one statement in a session of its own, and give its first value."""
        link = await asyncpg.connect(self.url_of(database))
        try:
            return await link.fetchval(sql, *arguments)
        finally:
            await link.close()

    async def set(self, name: str, value: str) -> None:
        """Change a setting of the server that needs no restart."""
        before = await self.fetchval("SELECT pg_conf_load_time()")
        await self.fetchval(f"ALTER SYSTEM SET {name} = '{value}'")
        await self.fetchval("SELECT pg_reload_conf()")
        async with asyncio.timeout(_PATIENCE):
            while await self.fetchval("SELECT pg_conf_load_time()") == before:
                await asyncio.sleep(0.02)

    async def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL as the user of this node, to its end."""
        process = await self._spawn(program, *arguments)
        assert await process.wait() == 0, f"{program}: {self._tail()}"

    def _tail(self) -> str:
        return self._log.read_text()[-1000:]

    @property
    def _log(self) -> Path:
        return self.folder.parent / f"{self.folder.name}.log"

    async def _spawn(self, program: str, *arguments: str) -> asyncio.subprocess.Process:
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self._as_user(), "env", *self._variables, PROGRAMS / program, *arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            )  # fmt: skip

    def _as_user(self) -> list[str]:
        """Not by `user=`, with which Python forks: a fork beside gRPC's threads dies at times."""
        if self._user is None:
            return []
        uid, gid = user_ids(self._user)
        return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]

    async def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(by)
            await self._process.wait()

    async def _answers(self) -> bool:
        try:
            await self.fetchval("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True


class PostgresPair:
    """The two, and the wire between them."""

    def __init__(self, primary: Node, standby: Node, wires: dict[Node, Between]) -> None:
        self.primary, self.standby = primary, standby
        self._wires = wires

    def url_of(self, database: str) -> str:
        """Give the address of a database by both hosts; who connects finds the primary."""
        hosts = ",".join(sorted(str(node.folder) for node in (self.primary, self.standby)))
        return f"postgresql://mailproxy@/{database}?host={quote(hosts)}"

    async def make_database(self, name: str) -> str:
        """Make one, and give its address by both hosts."""
        await self.primary.fetchval(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    async def caught_up(self) -> None:
        """Wait until the standby has applied all that the primary has written up to now."""
        written = await self.primary.fetchval("SELECT pg_current_wal_lsn()::text")
        behind = "SELECT pg_last_wal_replay_lsn() < $1::text::pg_lsn"
        async with asyncio.timeout(_PATIENCE):
            while await self.standby.fetchval(behind, written):
                await asyncio.sleep(0.02)

    async def cut_replication(self) -> None:
        """Break the wire: what commits from now on does not reach the standby."""
        await self._wires[self.primary].cut()

    async def restore_replication(self) -> None:
        """Mend the wire; the standby connects again by itself."""
        await self._wires[self.primary].restore()

    async def fail_over(self) -> None:
        """Crash the primary, and promote the standby with what it has."""
        await self.primary.crash()
        await self.promote()

    async def switch_over(self) -> None:
        """Stop the primary in order, and promote the standby, which has got all of it."""
        await self.caught_up()
        await self.primary.stop()
        await self.promote()

    async def promote(self) -> None:
        """Make the standby the primary. The old one is left as it is: one that still runs goes on
        taking writes, on a timeline that nobody follows."""
        assert await self.standby.fetchval("SELECT pg_promote(true, $1)", _PATIENCE)
        self.primary, self.standby = self.standby, self.primary

    async def rebuild(self) -> None:
        """Make the one that is no primary a standby, from a copy of the primary."""
        await self.standby.crash()
        wire = self._wires[self.primary]
        await wire.restore()
        await asyncio.to_thread(shutil.rmtree, self.standby.data, ignore_errors=True)
        await self._copy(wire)

    async def _copy(self, wire: Between) -> None:
        source = urlsplit(wire.url)
        await self.standby.run(
            "pg_basebackup", "-D", str(self.standby.data), "-R", "-X", "stream", "-c", "fast",
            "--no-sync", "-d", f"postgresql://{source.netloc}/?sslmode=disable",
        )  # fmt: skip
        await self.standby.start()
        await self.caught_up()


@asynccontextmanager
async def postgres_pair(
    folder: Path, variables: Mapping[str, Mapping[str, str]] | None = None
) -> AsyncIterator[PostgresPair]:
    """Run a primary and its standby below `folder` until the block ends.

    `folder` has a short name and lets others pass: `tests.support.postgres.open_folder` gives one.
    `variables` are those of the nodes' environments, by the names of their folders, "a" and "b".
    """
    one, two = [Node(folder / name, (variables or {}).get(name)) for name in ("a", "b")]
    try:
        await one.run(
            "initdb", "-D", str(one.data), "-A", "trust", "-U", "mailproxy", "-E", "UTF8",
            "--no-sync",
        )  # fmt: skip
        await one.start()
        async with (
            between(one.url_of("postgres")) as before_one,
            between(two.url_of("postgres")) as before_two,
        ):
            pair = PostgresPair(one, two, {one: before_one, two: before_two})
            await pair.rebuild()
            yield pair
    finally:
        for node in (one, two):
            await node.crash()
