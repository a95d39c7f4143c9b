"""File systems of a few MiB, and a database on one of them, so that its disk is full for real."""

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from tests.support.debian import require_root
from tests.support.postgres import Cluster


@contextmanager
def tiny_disk(folder: Path, megabytes: int = 8) -> Iterator[Path]:
    """Have a file system of so many MiB."""
    require_root("a small file system is mounted")
    folder.mkdir()
    size = f"size={megabytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


@dataclass(frozen=True)
class SmallDisk:
    """The database `url` has its tables and indexes on a disk of its own, `folder`; the log of
    transactions (WAL) has room elsewhere."""

    url: str
    folder: Path

    def fill(self) -> None:
        """Leave no room."""
        with (self.folder / "filler").open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass

    def empty(self) -> None:
        """Make room again."""
        (self.folder / "filler").unlink(missing_ok=True)


@asynccontextmanager
async def database_on_a_small_disk(cluster: Cluster) -> AsyncIterator[SmallDisk]:
    """Have a migrated database on one until the block ends."""
    url = await asyncio.to_thread(cluster.make_database)
    owner = Path(parse_qs(urlsplit(url).query)["host"][0]).stat()
    name = f"small_{secrets.token_hex(4)}"
    database = urlsplit(url).path[1:]
    with tiny_disk(cluster.folder.parent / name, 64) as folder:
        os.chown(folder, owner.st_uid, owner.st_gid)
        folder.chmod(0o700)
        link = await asyncpg.connect(cluster.url_of("postgres"))
        try:
            await link.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
            await link.execute(f"ALTER DATABASE {database} SET TABLESPACE {name}")
            yield SmallDisk(url, folder)
        finally:
            (folder / "filler").unlink(missing_ok=True)
            await asyncio.to_thread(cluster.drop_database, url)
            await link.execute(f"DROP TABLESPACE IF EXISTS {name}")
            await link.close()
