"""A PostgreSQL for tests: the server's own embedded one, made quick, and databases in it.

With TEST_POSTGRES_PROGRAMS, a folder that holds `postgres` and `initdb`, one made from these.
"""

import asyncio
import contextlib
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from mailproxy_server.app.embedded import TUNING, Embedded
from mailproxy_server.app.place import prepare

from tests.support.postgres_of import PostgresOf

T = TypeVar("T")
_ROOM = 4 * 2**30
"""Bytes that a session's databases and their WAL may take."""
_QUICK = {
    **TUNING,
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "1min",
}


class Cluster:
    """A running embedded PostgreSQL; `folder` is its data directory."""

    def __init__(self, folder: Path, apart: "Apart", server: PostgresOf | None = None):
        self._apart = apart
        self.folder = folder
        programs = os.environ.get("TEST_POSTGRES_PROGRAMS")
        if server is None and programs:
            server = PostgresOf(Path(programs), folder)
        self.embedded: Embedded | PostgresOf = server or Embedded(prepare(folder), tuning=_QUICK)
        self._template: str | None = None

    def url_of(self, database: str) -> str:
        return self.embedded.url_of(database)

    def make_database(self, *, migrated: bool = True) -> str:
        """Make a fresh database and give its URL; the first call migrates the template."""
        if migrated and self._template is None:
            self._template = "migrated"
            self._execute('CREATE DATABASE "migrated"')
            self._apart.run(_migrate(self.url_of("migrated")))
        name = f"test_{uuid.uuid4().hex[:12]}"
        template = self._template if migrated else "template1"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url_of(name)

    def drop_database(self, url: str) -> None:
        name = url.split("?")[0].rsplit("/", 1)[1]
        self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _execute(self, sql: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self.url_of("postgres"))
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        self._apart.run(run())


async def _migrate(url: str) -> None:
    from mailproxy_server.queue.migrations import upgrade

    await upgrade(url)


class Apart:
    """A loop of its own in a thread, for what must outlive or stand beside a test's loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextlib.contextmanager
def open_folder(parent: str = "/tmp") -> Iterator[Path]:
    """Give a short temporary folder that PostgreSQL's user can pass through; removed after."""
    folder = Path(tempfile.mkdtemp(prefix="mailproxy-", dir=parent))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _quick_parent() -> str:
    """Give where databases are quickly made and dropped: in memory, where there is room.

    A database is a thousand files, and ext4 looks long for inodes that were not deleted just now:
    making one takes fifteen times as long there.
    """
    shared = Path("/dev/shm")
    room = shared.is_dir() and shutil.disk_usage(shared).free > _ROOM
    return str(shared) if room else "/tmp"


@contextlib.contextmanager
def running_cluster(make: Callable[[Path], PostgresOf] | None = None) -> Iterator[Cluster]:
    """Run a cluster in a temporary folder for as long as the block; `make`: with this server."""
    apart = Apart()
    with open_folder(_quick_parent()) as folder:
        cluster = Cluster(folder, apart, make(folder) if make else None)
        try:
            apart.run(cluster.embedded.start())
            yield cluster
        finally:
            apart.run(cluster.embedded.stop())
            apart.close()
