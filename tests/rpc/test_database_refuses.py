"""What the database cannot do just now is UNAVAILABLE with the time to come back after, whatever
it is and whoever asks; and all goes on by itself when it can again."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from mailproxy import AsyncMailProxyClient
from mailproxy_server.app import dispatch
from mailproxy_server.cli.relaying import Relay
from mailproxy_server.queue import migrations

from tests.support.calling import ahead
from tests.support.emails import composed
from tests.support.every_call import WRITES, Known, Outcome, every_call
from tests.support.outbox_desk import EMAIL
from tests.support.postgres import open_folder
from tests.support.postgres_alone import PASSWORD, Alone, postgres_alone
from tests.support.relay import ScriptedRelay
from tests.support.served import TOKEN, role, settings_of
from tests.support.templates import ORDER, manage
from tests.support.watched import Watched, watched_on

pytestmark = [pytest.mark.needs_debian("postgresql-15"), pytest.mark.timeout(240)]
_numbers = itertools.count()
UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture(scope="module")
def server() -> Iterator[Alone]:
    """A PostgreSQL for all tests of this file, with a role that is no superuser."""
    runner = asyncio.Runner()
    with open_folder() as folder, runner:
        opened = postgres_alone(folder)
        server = runner.run(opened.__aenter__())
        runner.run(server.fetchval(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"))
        yield server
        runner.run(opened.__aexit__(None, None, None))


@dataclass
class Place:
    """A server on the database `name`, whose relay takes all; `url` leads there by TCP."""

    server: Alone
    name: str
    url: str
    watched: Watched
    relay: ScriptedRelay
    known: Known

    async def execute(self, sql: str) -> None:
        """Run statements as a superuser, in the database."""
        link = await asyncpg.connect(self.server.url_of(self.name))
        try:
            await link.execute(sql)
        finally:
            await link.close()


@asynccontextmanager
async def place_on(server: Alone) -> AsyncIterator[Place]:
    """Have a front and a dispatcher, whose account `demo` sends, and `other` is paused."""
    name = f"mail{next(_numbers)}"
    await server.fetchval(f"CREATE DATABASE {name} OWNER app")
    url = server.tcp_url_of(name, "sslmode=require&connect_timeout=2", user="app")
    await migrations.upgrade(url)
    async with (
        ScriptedRelay({}) as relay,
        watched_on(server.url_of(name), url, statement_timeout_seconds=2) as watched,
        role(dispatch.run, settings_of(statement_timeout_seconds=2, lease_seconds=60), url),
    ):
        caller = watched.front.first
        await caller.make_account(relay.port)
        await caller.make_account(relay.port, "other")
        await manage(caller, **ORDER)
        later = {"send_time": ahead(hours=1)}
        queued, moved = [(await caller.submit(composed(later))).message_id for _ in range(2)]
        yield Place(server, name, url, watched, relay, Known(queued, moved))
        if not watched.front.link.is_closed():
            await watched.front.link.close()


Fault = Callable[[Place], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def read_only(place: Place) -> AsyncIterator[None]:
    change = f"ALTER DATABASE {place.name} {{}} default_transaction_read_only"
    await place.server.fetchval(change.format("SET") + " = on")
    await place.server.end_sessions(place.name)
    try:
        yield
    finally:
        await place.server.fetchval(change.format("RESET"))


def raising(state: str) -> Fault:
    """Have each write of ours refused with this SQLSTATE, as a disk or a lock would."""
    each_table = """DO $$ DECLARE one regclass; BEGIN
        FOR one IN SELECT oid FROM pg_class WHERE relnamespace = 'mailproxy'::regnamespace
            AND relkind IN ('r', 'p') AND NOT relispartition LOOP EXECUTE format('{}', one);
        END LOOP; END $$"""
    begin = "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON %s EXECUTE FUNCTION"

    @asynccontextmanager
    async def fault(place: Place) -> AsyncIterator[None]:
        await place.execute(
            f"""CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$;
                {each_table.format(f"{begin} public.refuse()")}"""
        )
        try:
            yield
        finally:
            await place.execute("DROP FUNCTION public.refuse CASCADE")

    return fault


@asynccontextmanager
async def rotated(place: Place) -> AsyncIterator[None]:
    await place.server.fetchval("ALTER ROLE app PASSWORD 'another one'")
    await place.server.end_sessions(place.name)
    await place.server.end_sessions(f"{place.name}_shop")
    try:
        yield
    finally:
        await place.server.fetchval(f"ALTER ROLE app PASSWORD '{PASSWORD}'")


@asynccontextmanager
async def locked_out(place: Place) -> AsyncIterator[None]:
    await place.execute(f"REVOKE CONNECT ON DATABASE {place.name} FROM public, app")
    await place.server.end_sessions(place.name)
    try:
        yield
    finally:
        await place.execute(f"GRANT CONNECT ON DATABASE {place.name} TO public, app")


@asynccontextmanager
async def ended_again_and_again(place: Place) -> AsyncIterator[None]:
    async def end() -> None:
        link = await asyncpg.connect(place.server.url_of("postgres"))
        try:
            while True:
                await link.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"
                )
        finally:
            link.terminate()

    ending = asyncio.create_task(end())
    try:
        yield
    finally:
        ending.cancel()
        await asyncio.wait([ending])


@asynccontextmanager
async def crashed(place: Place) -> AsyncIterator[None]:
    await place.server.crash()
    try:
        yield
    finally:
        await place.server.start()


ALL = "all"
WRITING = "writing"
SOME = "some"
FAULTS: dict[str, tuple[Fault, str]] = {
    "read-only": (read_only, WRITING),
    "disk full (53100)": (raising("53100"), WRITING),
    "out of memory (53200)": (raising("53200"), WRITING),
    "configuration limit (53400)": (raising("53400"), WRITING),
    "I/O error (58030)": (raising("58030"), WRITING),
    "lock not available (55P03)": (raising("55P03"), WRITING),
    "statement timeout (57014)": (raising("57014"), WRITING),
    "password rotated (28P01)": (rotated, ALL),
    "CONNECT revoked (42501)": (locked_out, ALL),
    "sessions ended": (ended_again_and_again, SOME),
}


def judge(found: Mapping[str, Outcome], whom: str, *, memory: bool) -> None:
    """Each is answered, or to come again; and who cannot be answered is not."""
    for name, refusal in found.items():
        if refusal is None:
            continue
        code = EXHAUSTED if memory and refusal.reason == "OUT_OF_MEMORY" else UNAVAILABLE
        assert refusal.code is code, (name, refusal)
        assert refusal.retry_delay, (name, refusal)
    refused = {name for name, refusal in found.items() if refusal is not None}
    if whom != SOME:
        assert refused >= WRITES, WRITES - refused
    if whom == ALL:
        from_memory = {"RenderTemplate"}
        assert refused >= found.keys() - from_memory, found.keys() - refused


@pytest.mark.parametrize("name", FAULTS)
async def test_each_call_is_told_to_come_again_and_all_goes_on_afterwards(
    server: Alone, name: str
) -> None:
    await goes_on_after(*FAULTS[name], server, memory="53200" in name)


async def test_a_crash_of_the_database_is_one_of_them() -> None:
    with open_folder() as folder:
        async with postgres_alone(folder) as server:
            await server.fetchval(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
            await goes_on_after(crashed, ALL, server)


async def goes_on_after(fault: Fault, whom: str, server: Alone, *, memory: bool = False) -> None:
    """Try each call while the fault is there, and all that works by itself once it is gone."""
    async with place_on(server) as place, AsyncExitStack() as stack:
        shop = await stack.enter_async_context(shop_beside(place))
        caller = place.watched.front.first
        await page_says(place, 200)
        async with fault(place):
            for _ in range(2):
                found = await every_call(caller, place.known)
                judge(found, whom, memory=memory)
            if whom == ALL:
                await page_says(place, 503)
        async with asyncio.timeout(60):
            while any((await every_call(caller, place.known)).values()):
                pass
        before = len(place.relay.messages)
        await caller.submit(composed({"labels": {"after": "yes"}}))
        await place.execute(f"SELECT mailproxy.submit('{json.dumps(EMAIL)}'::json)")
        await place.relay.until(lambda: len(place.relay.messages) >= before + 2, "sent and moved")
        await shop.moves_on()
        await page_says(place, 200)


async def page_says(place: Place, status: int) -> None:
    """The page's own requests are answered so, in the end."""
    answer: Any = None
    async with asyncio.timeout(30):
        while answer != status:
            answer = await place.watched.status("/api/about")


@dataclass
class Beside:
    """An application's database in the same PostgreSQL, and a relay-outbox that moves its mail."""

    place: Place
    name: str
    following: "asyncio.Task[None]"
    said: list[str]

    async def moves_on(self) -> None:
        """One more mail is put in, moved and sent."""
        before = len(self.place.relay.messages)
        link = await asyncpg.connect(self.place.server.url_of(self.name))
        await link.execute("SELECT mailproxy.submit($1::json)", json.dumps(EMAIL))
        await link.close()
        await self.place.relay.until(
            lambda: len(self.place.relay.messages) > before or self.following.done(), "moved"
        )
        assert not self.following.done(), self.said


async def _follows(server: Alone, name: str) -> None:
    """Wait until the relay works: what comes before that is a database that cannot be used."""
    working = """SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND state = 'idle'
                 AND application_name = 'mailproxy outbox relay' AND query ILIKE '%outbox%'"""
    async with asyncio.timeout(30):
        while not await server.fetchval(working, name):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def shop_beside(place: Place) -> AsyncIterator[Beside]:
    name = f"{place.name}_shop"
    await place.server.fetchval(f"CREATE DATABASE {name} OWNER app")
    url = place.server.tcp_url_of(name, "sslmode=require&connect_timeout=2", user="app")
    outbox = Path(migrations.__file__).with_name("outbox.sql").read_text()
    link = await asyncpg.connect(place.server.url_of(name))
    await link.execute(f"SET ROLE app; CREATE SCHEMA mailproxy; {outbox}")
    await link.close()
    said: list[str] = []
    async with AsyncMailProxyClient(place.watched.front.address, TOKEN) as client:
        relay = Relay(url, client, "shop", said.append)
        following = asyncio.create_task(relay.run())
        try:
            await _follows(place.server, name)
            yield (beside := Beside(place, name, following, said))
            assert not beside.following.done(), said
        finally:
            following.cancel()
            await asyncio.wait([following])
