"""A front, and where delivery is needed a dispatcher, in the test's own loop.

They are the processes' own main functions on a test's database; gRPC goes over a socket.

    async with front_on(database_url) as front:
        await front.first.make_account(relay.port)
        submitted = await front.first.submit(text_body="hello")
        async with dispatching(front):
            ...
"""

import asyncio
import base64
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
import grpc
import grpc.aio
from mailproxy_server.app import dispatch, front
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.app.ports import hold
from mailproxy_server.queue import days, hot
from mailproxy_server.queue.intake import Intake
from mailproxy_server.settings import Settings
from mailproxy_server.settings.listen import Listen

from tests.support.calling import Caller
from tests.support.queue import Queue

KEY = base64.b64encode(bytes(32)).decode()
TOKEN = "mp_first-" + "t" * 32
ANYWHERE = Listen("127.0.0.1", 0)

Role = Callable[[Settings, Lifeline, str], Coroutine[Any, Any, None]]


class Tie(Lifeline):
    """A lifeline to the test: tells when the role is ready, and ends no process."""

    def __init__(self) -> None:
        super().__init__(drain_seconds=2)
        self.served = asyncio.Event()

    def ready(self) -> None:
        self.served.set()

    def drain(self) -> None:
        self._draining.set()


@asynccontextmanager
async def role(run: Role, settings: Settings, url: str) -> AsyncIterator[None]:
    """Run a process's main function beside the block; whatever ends it early fails the test."""
    tie = Tie()
    running = asyncio.create_task(run(settings, tie, url), name=run.__module__)
    ready = asyncio.create_task(tie.served.wait())
    async with asyncio.timeout(20):
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    try:
        assert not running.done(), running.exception()
        yield
    finally:
        tie.drain()
        async with asyncio.timeout(20):
            await running


@dataclass
class Front:
    """A front that serves `address`, and its database."""

    address: str
    url: str
    first: Caller
    """The tenant `default`."""
    other: Caller
    """A tenant that has nothing to do with it."""
    link: "asyncpg.Connection[asyncpg.Record]"

    async def rows(self) -> dict[str, int]:
        """Count the rows of every table."""
        tables = await self.link.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'mailproxy'::regnamespace "
            "AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1"
        )
        names = [row[0] for row in tables]
        return {n: await self.link.fetchval(f"SELECT count(*) FROM mailproxy.{n}") for n in names}

    async def tenant_of(self, caller: Caller) -> uuid.UUID:
        """Give the id of the tenant that the token speaks for."""
        found = await self.link.fetchval(
            "SELECT tenant_id FROM mailproxy.tokens WHERE digest = $1", _digest(caller.token)
        )
        return cast(uuid.UUID, found)


def settings_of(**given: Any) -> Settings:
    """Give settings for a test; quick where waiting would cost it time."""
    quick: dict[str, Any] = {"secret_key": KEY, "bootstrap_token": TOKEN, "drain_seconds": 2}
    quick["http_listen"] = None
    return Settings(**quick | {"poll_seconds": 1, "sweep_seconds": 1} | given)


@asynccontextmanager
async def front_on(url: str, through: str = "", **settings: Any) -> AsyncIterator[Front]:
    """Serve on a free port, with two tenants in the database, until the block ends.

    `through` is another way to the same database, for the front alone.
    """
    held, listen = hold(ANYWHERE, "MAILPROXY_GRPC_LISTEN")
    link = await asyncpg.connect(url)
    try:
        async with (
            role(front.run, settings_of(grpc_listen=listen, **settings), through or url),
            _caller(str(listen), TOKEN) as first,
            _caller(str(listen), await add_tenant(link)) as other,
        ):
            yield Front(str(listen), url, first, other, link)
    finally:
        await link.close()
        held.close()


@asynccontextmanager
async def dispatching(front: Front, **settings: Any) -> AsyncIterator[None]:
    """Run a dispatcher on the front's database for the length of the block."""
    async with role(dispatch.run, settings_of(**settings), front.url):
        yield


@asynccontextmanager
async def queue_of(front: Front, caller: Caller) -> AsyncIterator[Queue]:
    """Open the tenant's queue itself, for a test that settles without a relay."""
    pool = await hot.open_pool(front.url, size=4, statement_timeout=10)
    try:
        async with hot.connection(pool) as link:
            await days.ensure(link, datetime.now(UTC).date())
        yield Queue(front.url, pool, await front.tenant_of(caller), Intake(pool))
    finally:
        await pool.close()


async def report(queue: Queue, count: int = 1) -> None:
    """Queue so many messages and have them sent, as far as the log knows."""
    await queue.submit_many(count)
    assert await queue.settle(await queue.claim(count)) == count


async def add_tenant(link: "asyncpg.Connection[asyncpg.Record]") -> str:
    """Make a tenant by SQL and give its token."""
    tenant_id = uuid.uuid4()
    name, token = f"tenant-{tenant_id.hex[:8]}", f"mp_other-{tenant_id.hex}"
    await link.execute(
        "INSERT INTO mailproxy.tenants (tenant_id, name) VALUES ($1, $2)", tenant_id, name
    )
    await link.execute(
        "INSERT INTO mailproxy.tokens (tenant_id, token_id, name, digest) VALUES ($1, $2, $3, $4)",
        tenant_id, uuid.uuid4(), name, _digest(token),
    )  # fmt: skip
    return token


@asynccontextmanager
async def _caller(address: str, token: str) -> AsyncIterator[Caller]:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield Caller(channel, token)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
