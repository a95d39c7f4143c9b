import asyncio
import re

import asyncpg
import pytest
from mailproxy_server.accounts.tenants import Tenants, new_token
from mailproxy_server.mail.errors import CallerError
from sqlalchemy import event, text

from tests.support.accounts import engine_of


async def test_bootstrap_makes_one_tenant_whose_token_is_stored_as_a_digest(
    database_url: str,
) -> None:
    token = new_token()
    assert re.fullmatch(r"mp_[A-Za-z0-9_-]{43}", token)
    async with engine_of(database_url) as engine:
        tenants = Tenants(engine)
        assert await tenants.bootstrap(token)
        assert not await tenants.bootstrap(new_token())
        assert await tenants.authenticate(token)
    connection = await asyncpg.connect(database_url)
    rows = [dict(row) for row in await connection.fetch("SELECT * FROM mailproxy.tokens")]
    await connection.close()
    assert len(rows) == 1
    assert token not in str(rows)


async def test_of_replicas_that_start_together_one_makes_the_tenant(database_url: str) -> None:
    async with engine_of(database_url) as engine:
        made = await asyncio.gather(*(Tenants(engine).bootstrap(new_token()) for _ in range(10)))
    assert sorted(made) == [False] * 9 + [True]


async def test_a_token_that_could_not_be_written_down_is_not_made(database_url: str) -> None:
    def full_disk() -> None:
        raise OSError("no space")

    async with engine_of(database_url) as engine:
        tenants, token = Tenants(engine), new_token()
        with pytest.raises(OSError, match="no space"):
            await tenants.bootstrap(token, keep=full_disk)
        with pytest.raises(CallerError):
            await tenants.authenticate(token)
        assert await tenants.bootstrap(new_token())


async def test_tokens_are_remembered_found_or_not(database_url: str) -> None:
    async with engine_of(database_url) as engine:
        tenants, token, asked = Tenants(engine), new_token(), []
        await tenants.bootstrap(token)
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: asked.append(1))
        tenant = await tenants.authenticate(token)
        assert {await tenants.authenticate(token) for _ in range(10)} == {tenant}
        for _ in range(10):
            with pytest.raises(CallerError) as caught:
                await tenants.authenticate("mp_wrong")
            assert caught.value.reason == "TOKEN_INVALID"
        assert len(asked) == 2


@pytest.mark.parametrize("token", ["", "mp_", "x" * 100_000, "ü", "\x00", "\udc80"])
async def test_odd_tokens_are_merely_unknown(database_url: str, token: str) -> None:
    async with engine_of(database_url) as engine:
        with pytest.raises(CallerError, match="not known here"):
            await Tenants(engine).authenticate(token)


async def test_a_revoked_token_is_not_known(database_url: str) -> None:
    async with engine_of(database_url) as engine:
        token = new_token()
        await Tenants(engine).bootstrap(token)
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE mailproxy.tokens SET revoked_at = now()"))
        with pytest.raises(CallerError):
            await Tenants(engine).authenticate(token)


async def test_a_burst_of_calls_with_one_token_asks_hardly_ever(database_url: str) -> None:
    async with engine_of(database_url) as engine:
        tenants, token, asked = Tenants(engine), new_token(), []
        await tenants.bootstrap(token)
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: asked.append(1))
        await asyncio.gather(*(tenants.authenticate(token) for _ in range(100)))
    assert len(asked) <= 2
