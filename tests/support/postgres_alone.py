"""A PostgreSQL of a test's own, which may be stopped, frozen and misconfigured: over TCP with TLS
and passwords, as well as by its socket.

    async with postgres_alone(folder) as server:
        url = await server.make_database("mail")
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import trustme
from mailproxy_server.app.ports import hold

from tests.support.postgres_of import user_ids
from tests.support.postgres_pair import Node
from tests.support.served import ANYWHERE

PASSWORD = "p@ss/w0rd:first"
"""Of the role mailproxy over TCP, with what must be encoded in a URL."""
_RULES = """
local   all all              trust
hostssl all all 127.0.0.1/32 scram-sha-256
"""
_SETTINGS = {
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "ssl": "on",
}


class Alone(Node):
    """It; TLS is a must over TCP. `authority` is the file of who vouches for `localhost`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        held, listen = hold(ANYWHERE, "POSTGRES")
        held.close()
        self.port = listen.port
        self.authority = folder.with_name("authority.pem")
        self.other_authority = folder.with_name("other.pem")

    def tcp_url_of(
        self,
        database: str,
        query: str,
        *,
        host: str = "localhost",
        user: str = "mailproxy",
        password: str = PASSWORD,
    ) -> str:
        """Give the address by TCP; `host` may be several, with or without ports."""
        hosts = host if ":" in host else f"{host}:{self.port}"
        return f"postgresql://{user}:{quote(password, safe='')}@{hosts}/{database}?{query}"

    def url_of(self, database: str) -> str:
        """Give the address by the socket."""
        socket = quote(str(self.folder), safe="")
        return f"postgresql://mailproxy@/{database}?host={socket}&port={self.port}"

    async def make(self) -> None:
        """Make its data, certificates and rules, and run it."""
        await self.run(
            "initdb", "-D", str(self.data), "-A", "trust", "-U", "mailproxy", "-E", "UTF8",
            "--no-sync",
        )  # fmt: skip
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        trustme.CA().cert_pem.write_to_path(self.other_authority)
        leaf = authority.issue_cert("localhost")
        leaf.cert_chain_pems[0].write_to_path(self.data / "server.crt")
        leaf.private_key_pem.write_to_path(self.data / "server.key")
        (self.data / "pg_hba.conf").write_text(_RULES)
        for name in ("server.crt", "server.key", "pg_hba.conf"):
            (self.data / name).chmod(0o600)
            if self._user:
                os.chown(self.data / name, *user_ids(self._user))
        await self.start()
        await self.set_password(PASSWORD)

    async def start(self) -> None:
        """Run it, and wait until it answers."""
        given = _SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self.folder)}
        settings = [word for item in given.items() for word in ("-c", "=".join(item))]
        self._process = await self._spawn("postgres", "-D", str(self.data), *settings)
        async with asyncio.timeout(60):
            while not await self._answers():
                assert self._process.returncode is None, "postgres ended"
                await asyncio.sleep(0.05)

    async def set_password(self, password: str) -> None:
        """Give the role mailproxy another password."""
        await self.fetchval(f"ALTER ROLE mailproxy PASSWORD '{password}'")

    async def make_database(self, name: str) -> str:
        """Make one, and give its address by the socket."""
        await self.fetchval(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    async def end_sessions(self, database: str) -> None:
        """End all sessions with a database."""
        await self.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = $1 AND pid <> pg_backend_pid()",
            database,
        )


@asynccontextmanager
async def postgres_alone(folder: Path) -> AsyncIterator[Alone]:
    """Run one below `folder` until the block ends; the folder's name is short, and others may pass
    through it: `tests.support.postgres.open_folder` gives one."""
    server = Alone(folder / "alone")
    try:
        await server.make()
        yield server
    finally:
        await server.crash()
