"""Every session of ours has the same guarantees, whatever the database sets."""

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
import uvloop
from mailproxy import AsyncMailProxyClient
from mailproxy_server.app import reading
from mailproxy_server.app.database import sessions_to
from mailproxy_server.cli.relaying import Relay
from mailproxy_server.dispatcher.custodian import Custodian, Kept
from mailproxy_server.queue import days, hot, migrations, role_settings, wake
from mailproxy_server.queue.engine import open_engine
from mailproxy_server.queue.hot import Pool, connection
from mailproxy_server.queue.sessions import GUARANTEES, Session, Sessions
from mailproxy_server.queue.unavailable import CannotConnect
from sqlalchemy import text

from tests.support.between import between
from tests.support.diagnosing import doctor
from tests.support.eventually import eventually
from tests.support.pooler import pooling
from tests.support.postgres import Cluster, open_folder
from tests.support.postgres_alone import Alone, postgres_alone
from tests.support.postgres_pair import postgres_pair
from tests.support.relay import ScriptedRelay
from tests.support.served import TOKEN, dispatching, front_on, settings_of

HOSTILE = {
    "search_path": "public, pg_catalog",
    "synchronous_commit": "off",
    "timezone": "Asia/Tokyo",
    "default_transaction_isolation": "serializable",
}
"""What an operator, or an application in the same database, may have set for it."""
Shown = dict[str, str]


@pytest.fixture
async def hostile_url(database_url: str) -> str:
    """A database whose own settings, and the URL's options, are others than ours."""
    name = database_url.partition("?")[0].rpartition("/")[2]
    link = await asyncpg.connect(database_url)
    for setting, value in HOSTILE.items():
        words = value if setting == "search_path" else f"'{value}'"
        await link.execute(f'ALTER DATABASE "{name}" SET {setting} = {words}')
    await link.close()
    options = "-c search_path=public,pg_catalog -c synchronous_commit=off"
    return f"{database_url}&options={quote(options, safe='')}"


async def shown(link: Any) -> Shown:
    return {name: await link.fetchval(f"SHOW {name}") for name in GUARANTEES}


class Seen:
    """Looks at each session that is made, by its name."""

    def __init__(self, url: str) -> None:
        self.by_name: dict[str, list[Shown]] = {}
        self.sessions = Sessions(url, check=self.look)

    async def look(self, link: Session) -> None:
        name = await link.fetchval("SHOW application_name")
        self.by_name.setdefault(name, []).append(await shown(link))


async def test_what_the_database_sets_is_what_others_have(hostile_url: str) -> None:
    link = await asyncpg.connect(hostile_url)
    assert (await shown(link))["search_path"] == "public,pg_catalog"
    assert (await shown(link))["timezone"] == "Asia/Tokyo"
    await link.close()


async def test_each_kind_of_session_has_all_guarantees(hostile_url: str) -> None:
    seen = Seen(hostile_url)
    pool = await hot.open_pool(seen.sessions, size=2, statement_timeout=5)
    engine = open_engine(seen.sessions)
    ear = wake.Ear(seen.sessions, pool, {wake.DUE: lambda _: None})
    listening = asyncio.create_task(ear.run())
    try:
        async with connection(pool) as link:
            assert await shown(link) == GUARANTEES
            for setting, value in hot.SETTINGS.items():
                assert await link.fetchval(f"SHOW {setting}") == value
        async with engine.connect() as one:
            for setting, value in GUARANTEES.items():
                assert (await one.execute(text(f"SHOW {setting}"))).scalar_one() == value
        await migrations.upgrade(seen.sessions)
        await retention(pool, seen.sessions)
        await eventually(lambda: "mailproxy listen" in seen.by_name, "it listens")
    finally:
        listening.cancel()
        await engine.dispose()
        await pool.close()
    names = {"mailproxy", "mailproxy listen", "mailproxy migrate", "mailproxy retention"}
    assert seen.by_name.keys() == names
    for each in seen.by_name.values():
        assert all(one == GUARANTEES for one in each)


async def retention(pool: Pool, sessions: Sessions) -> None:
    """Have a day dropped that is over."""
    async with connection(pool) as link:
        await days.ensure(link, datetime(2020, 1, 1, tzinfo=UTC).date())
    custodian = Custodian(pool, sessions, Kept(1, 1), lambda *_: None)
    await custodian.drop_days()


async def test_sessions_of_commands_have_them_too(hostile_url: str) -> None:
    settings = settings_of(database_url=hostile_url)
    async with reading.connected(settings) as link:
        assert await shown(link) == GUARANTEES
    diagnosing = await sessions_to(settings, hostile_url).connect("mailproxy diagnose")
    assert await shown(diagnosing) == GUARANTEES
    await diagnosing.close()
    async with AsyncMailProxyClient("127.0.0.1:1", TOKEN) as client:
        link = await Relay(hostile_url, client, "shop", lambda _: None)._connect()
        assert await shown(link) == GUARANTEES
        await link.close()


@pytest.mark.parametrize("told", [True, False], ids=["", "control"])
async def test_an_engine_replaces_its_connections_when_the_pool_was_replaced(
    database_url: str, told: bool
) -> None:
    """The control has sessions of its own, and hears nothing: it goes on by the old one, which
    after a switchover may read from a server that is no primary any more."""
    sessions = Sessions(database_url)
    pool = await hot.open_pool(sessions, size=2, statement_timeout=5)
    engine = open_engine(sessions if told else database_url)

    async def pid() -> object:
        async with engine.connect() as one:
            return (await one.execute(text("SELECT pg_backend_pid()"))).scalar_one()

    before = await pid()
    assert await pid() == before
    await pool.replace()
    assert (await pid() != before) is told
    await engine.dispose()
    await pool.close()


PLANTED = """
CREATE FUNCTION public.planted() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'a planted object was used'; END $$;
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS
    'SELECT public.planted(); SELECT NULL::timestamptz';
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
    'SELECT public.planted(); SELECT NULL::timestamptz';
CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS
    'SELECT public.planted(); SELECT NULL::void';
CREATE FUNCTION public.equal(uuid, uuid) RETURNS bool LANGUAGE sql AS
    'SELECT public.planted(); SELECT true';
CREATE FUNCTION public.equal(text, text) RETURNS bool LANGUAGE sql AS
    'SELECT public.planted(); SELECT true';
CREATE FUNCTION public.before(timestamptz, timestamptz) RETURNS bool LANGUAGE sql AS
    'SELECT public.planted(); SELECT true';
CREATE OPERATOR public.= (FUNCTION = public.equal, LEFTARG = uuid, RIGHTARG = uuid);
CREATE OPERATOR public.= (FUNCTION = public.equal, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR public.<= (
    FUNCTION = public.before, LEFTARG = timestamptz, RIGHTARG = timestamptz);
CREATE TABLE public.pg_class AS SELECT 1 AS planted;
CREATE TABLE public.pg_roles AS SELECT 1 AS planted;
CREATE TABLE public.pg_stat_activity AS SELECT 1 AS planted;
CREATE TABLE public.deliveries AS SELECT 1 AS planted;
"""


async def test_what_was_planted_in_public_is_never_called(hostile_url: str) -> None:
    other = await asyncpg.connect(hostile_url)
    await other.execute(PLANTED)
    settings: dict[str, Any] = {"outbox_poll_seconds": 0.1, "retention_content_hours": 0}
    async with (
        ScriptedRelay({}) as relay,
        front_on(hostile_url, **settings) as front,
        dispatching(front, **settings),
    ):
        await front.first.make_account(relay.port)
        await front.first.make_account(relay.port, "limited")
        await front.first.submit()
        await front.first.status()
        await relay.until(lambda: len(relay.messages) >= 1, "sent")
    with pytest.raises(asyncpg.RaiseError, match="planted"):  # the control: who has no guarantees
        await other.fetchval("SELECT now()")
    await other.close()


async def test_a_temporary_table_hides_no_catalog(hostile_url: str) -> None:
    link = await Sessions(hostile_url).connect()
    await link.execute("CREATE TEMP TABLE pg_class AS SELECT 1 AS planted")
    assert await link.fetchval("SELECT count(*) FROM pg_class") > 100
    await link.execute("SET search_path = pg_temp, pg_catalog")  # the control
    assert await link.fetchval("SELECT count(*) FROM pg_class") == 1
    await link.close()


@pytest.fixture(scope="module")
def alone() -> Iterator[Alone]:
    """A PostgreSQL with TLS and TCP, for all tests of this file."""
    runner = asyncio.Runner()
    with open_folder() as folder, runner:
        opened = postgres_alone(folder)
        yield runner.run(opened.__aenter__())
        runner.run(opened.__aexit__(None, None, None))


def options_of(url: str) -> dict[str, int]:
    """Make a session as the server does, on uvloop, and give its socket's options."""

    async def look() -> dict[str, int]:
        link: Any = await Sessions(url).connect()
        with socket.socket(
            fileno=socket.dup(link._transport.get_extra_info("socket").fileno())
        ) as s:
            found = {
                name: s.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            }
            found["SO_KEEPALIVE"] = s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert await link.fetchval("SELECT 1") == 1, "the session is as good as before"
        await link.close()
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(look())


@pytest.mark.needs_debian("postgresql-15")
async def test_the_kernel_is_told_to_notice_a_host_that_is_gone(alone: Alone) -> None:
    found = await asyncio.to_thread(options_of, alone.tcp_url_of("postgres", "sslmode=require"))
    assert found == {
        "SO_KEEPALIVE": 1,
        "TCP_KEEPIDLE": 10,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 15_000,
    }
    query = (
        "sslmode=require&keepalives_idle=7&keepalives_interval=2&keepalives_count=4"
        "&tcp_user_timeout=900"
    )
    found = await asyncio.to_thread(options_of, alone.tcp_url_of("postgres", query))
    assert found == {
        "SO_KEEPALIVE": 1,
        "TCP_KEEPIDLE": 7,
        "TCP_KEEPINTVL": 2,
        "TCP_KEEPCNT": 4,
        "TCP_USER_TIMEOUT": 900,
    }
    off = await asyncio.to_thread(
        options_of, alone.tcp_url_of("postgres", "sslmode=require&keepalives=0")
    )
    assert off["SO_KEEPALIVE"] == 0


async def writes(link: Session) -> bool:
    return bool(await link.fetchval("SHOW transaction_read_only") == "off")


@pytest.mark.needs_debian("postgresql-15")
async def test_a_standby_is_refused_and_a_read_only_primary_is_the_last_resort() -> None:
    with open_folder() as folder:
        async with postgres_pair(folder) as pair:
            url = await pair.make_database("mail")
            await pair.caught_up()
            with pytest.raises(CannotConnect, match="the server is a standby"):
                await Sessions(pair.standby.url_of("mail")).connect()
            said = (await doctor(pair.standby.url_of("mail")).says())["database_not_ours"]
            assert "a standby, which takes no mail: name the primary" in said["words"]
            for _ in range(2):
                link = await Sessions(url).connect()
                assert not await link.fetchval("SELECT pg_is_in_recovery()")
                await link.close()
            first, second = pair.primary, pair.standby
            await pair.promote()  # and now both of them are primaries
            for read_only, other in ((first, second), (second, first)):
                await read_only.set("default_transaction_read_only", "on")
                link = await Sessions(read_only.url_of("mail")).connect()
                assert not await writes(link), "reading goes on where nobody writes"
                await link.close()
                link = await Sessions(url).connect()
                assert await writes(link), "another host takes writes"
                await link.close()
                await read_only.set("default_transaction_read_only", "off")
                assert other.pid


@pytest.mark.needs_debian("pgbouncer")
async def test_a_pooled_session_without_the_settings_of_the_role_is_refused_with_the_remedy(
    database_url: str,
) -> None:
    async with pooling(database_url) as through:
        with pytest.raises(CannotConnect, match=r"search_path is .* run `mailproxy migrate`"):
            await Sessions(through, pooled=True).connect()
    direct = await Sessions(database_url).connect()
    try:
        assert "search_path" in await role_settings.give(direct, 10)
        async with pooling(database_url) as through:
            link = await Sessions(through, pooled=True).connect()
            assert await shown(link) == GUARANTEES
            await link.close()
    finally:
        name = await direct.fetchval("SELECT current_database()")
        await direct.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{name}" RESET ALL')
        await direct.close()


class Heard:
    """What an ear told."""

    def __init__(self) -> None:
        self.hints: list[list[str]] = []

    def hint(self, lines: list[str]) -> None:
        self.hints.append(lines)

    def opened(self) -> int:
        """How many times it began to listen: then anything may have happened."""
        return self.hints.count([])


@pytest.mark.parametrize("beats", [True, False], ids=["", "control"])
async def test_a_session_that_hears_nothing_is_opened_again_by_its_heartbeat(
    postgres: Cluster, database_url: str, beats: bool
) -> None:
    """The control has no heartbeat: it is deaf for good."""
    heard = Heard()
    pool = await hot.open_pool(database_url, size=2, statement_timeout=5)
    async with between(database_url) as wire:
        ear = wake.Ear(wire.url, pool, {wake.DUE: heard.hint}, beat_seconds=0.2 if beats else 3600)
        listening = asyncio.create_task(ear.run())
        try:
            await eventually(heard.opened, "it listens")
            await hint(pool, "before")
            await eventually(lambda: ["before"] in heard.hints, "it hears")
            wire.lose()
            await hint(pool, "lost")
            if beats:
                await eventually(lambda: heard.opened() == 2, "it listens again", seconds=20)
                await hint(pool, "after")
                await eventually(lambda: ["after"] in heard.hints, "it hears again")
            else:
                with pytest.raises(AssertionError, match="not within"):
                    await eventually(lambda: heard.opened() == 2, "it listens again", seconds=8)
                assert ["lost"] not in heard.hints
        finally:
            listening.cancel()
            await pool.close()


async def hint(pool: Pool, line: str) -> None:
    async with connection(pool) as link:
        await wake.notify(link, wake.DUE, line)
