"""Debian's PgBouncer in transaction mode, before a database of the tests' cluster."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
from mailproxy_server.app.ports import hold

from tests.support.debian import require
from tests.support.programs import drained
from tests.support.served import ANYWHERE

_CONFIG = """
[databases]
* = host={host} user=mailproxy

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 200
ignore_startup_parameters =
server_login_retry = 1
logfile = {folder}/log
"""


@asynccontextmanager
async def pooling(url: str) -> AsyncIterator[str]:
    """Give the database's address through a pooler, until the block ends."""
    program, parts = require("pgbouncer"), urlsplit(url)
    held, listen = hold(ANYWHERE, "PGBOUNCER")
    held.close()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir="/tmp"))
    folder.chmod(0o777)
    host = parse_qs(parts.query)["host"][0]
    config = folder / "pgbouncer.ini"
    config.write_text(_CONFIG.format(host=host, port=listen.port, folder=folder))
    as_owner = ["-u", "nobody"] if os.geteuid() == 0 else []
    through = f"postgresql://mailproxy@{listen}{parts.path}"
    try:
        async with drained(program, *as_owner, str(config), stderr=asyncio.subprocess.DEVNULL):
            await _answers(through)
            yield through
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _answers(url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                link = await asyncpg.connect(url, statement_cache_size=0)
            except (OSError, asyncpg.PostgresError):
                await asyncio.sleep(0.05)
                continue
            await link.close()
            return
