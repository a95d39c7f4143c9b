import asyncio
from typing import Any

import pytest
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.tenants import Tenants
from mailproxy_server.accounts.vault import Vault
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue.engine import open_engine
from mailproxy_server.rpc.faults import Faults
from sqlalchemy import text

from tests.support.accounts import KEY, engine_of, make_tenant

bugs: list[tuple[str, BaseException]] = []


async def translated(awaitable: Any) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await awaitable
    return Faults(lambda bug, error: bugs.append((bug, error))).translate(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://x@127.0.0.1:1/x",
        "postgresql://x@/x?host=/nonexistent",
    ],
)
async def test_a_database_that_cannot_be_reached_is_unavailable(url: str) -> None:
    engine = open_engine(url)
    error = await translated(Tenants(engine).authenticate("mp_x"))
    assert isinstance(error, Unavailable)
    assert error.reason == "DATABASE_UNAVAILABLE"


async def test_a_database_that_accepts_and_says_nothing_is_unavailable_in_time() -> None:
    ended = asyncio.Event()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with engine_of(f"postgresql://x@127.0.0.1:{port}/x") as engine:
        tenants = Tenants(engine, patience=0.3)
        async with asyncio.timeout(5):
            errors = await asyncio.gather(
                *(translated(tenants.authenticate(f"mp_{n}")) for n in range(10))
            )
    assert all(isinstance(error, Unavailable) for error in errors)
    ended.set()
    server.close()


async def test_a_connection_that_is_cut_is_unavailable_and_the_next_call_works(
    database_url: str,
) -> None:
    async with engine_of(database_url) as engine:
        accounts, tenant = Accounts(engine, Vault(KEY)), await make_tenant(engine)
        cut = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        async with engine.connect() as one, engine.connect() as two:
            await one.execute(text("SELECT 1"))
            await two.execute(cut)
            error = await translated(one.execute(text("SELECT 1")))
        assert isinstance(error, Unavailable)
        assert await accounts.find(tenant, "a") is None


async def test_a_statement_past_its_timeout_is_unavailable(database_url: str) -> None:
    async with engine_of(database_url) as engine, engine.connect() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 10"))
        error = await translated(connection.execute(text("SELECT pg_sleep(5)")))
    assert isinstance(error, Unavailable)


async def test_a_wrong_statement_is_a_bug(database_url: str) -> None:
    bugs.clear()
    async with engine_of(database_url) as engine, engine.connect() as connection:
        error = await translated(connection.execute(text("SELECT nothing FROM nowhere")))
    assert not isinstance(error, Unavailable)
    assert len(bugs) == 1


async def test_a_call_that_is_cancelled_leaves_no_connection_taken(database_url: str) -> None:
    async with engine_of(database_url) as engine:
        accounts, tenant = Accounts(engine, Vault(KEY)), await make_tenant(engine)
        for _ in range(30):  # more than the pool has
            call = asyncio.create_task(accounts.list(tenant))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert await accounts.list(tenant) == []
