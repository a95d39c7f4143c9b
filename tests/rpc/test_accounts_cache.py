import asyncio

import pytest
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.cache import AccountCache
from mailproxy_server.accounts.vault import Vault
from mailproxy_server.mail.errors import CallerError
from sqlalchemy import event

from tests.support.accounts import FIELDS, KEY, engine_of, make_tenant


async def test_a_known_account_is_asked_for_once(database_url: str) -> None:
    async with engine_of(database_url) as engine:
        accounts, tenant = Accounts(engine, Vault(KEY)), await make_tenant(engine)
        await accounts.create(tenant, "a", FIELDS)
        cache, asked = AccountCache(accounts), []
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: asked.append(1))
        assert cache.peek(tenant, "") is None
        answers = await asyncio.gather(*(cache.resolve(tenant, "") for _ in range(50)))
        assert set(answers) == {"a"}
        assert await cache.resolve(tenant, "") == "a"
        assert cache.peek(tenant, "") == "a"
        assert len(asked) == 1


async def test_an_account_can_be_used_the_moment_it_is_made(database_url: str) -> None:
    async with engine_of(database_url) as engine:
        accounts, tenant = Accounts(engine, Vault(KEY)), await make_tenant(engine)
        cache = AccountCache(accounts)
        with pytest.raises(CallerError, match="there is no account yet"):
            await cache.resolve(tenant, "a")
        await accounts.create(tenant, "a", FIELDS)
        assert await cache.resolve(tenant, "a") == "a"
        with pytest.raises(CallerError, match="known accounts: a; create it with") as caught:
            await cache.resolve(tenant, "b")
        assert caught.value.reason == "ACCOUNT_NOT_FOUND"


async def test_what_changed_is_seen_after_it_was_invalidated_or_its_time_is_up(
    database_url: str,
) -> None:
    async with engine_of(database_url) as engine:
        accounts, tenant = Accounts(engine, Vault(KEY)), await make_tenant(engine)
        await accounts.create(tenant, "a", FIELDS)
        await accounts.create(tenant, "b", FIELDS)
        cache, brief = AccountCache(accounts), AccountCache(accounts, ttl=0)
        assert await cache.resolve(tenant, "") == await brief.resolve(tenant, "") == "a"
        await accounts.update(tenant, "b", lambda current: {"is_default": True})
        assert await brief.resolve(tenant, "") == "b"
        assert await cache.resolve(tenant, "") == "a"
        cache.invalidate(tenant)
        assert await cache.resolve(tenant, "") == "b"


async def test_a_caller_that_leaves_does_not_take_the_answer_from_the_others(
    database_url: str,
) -> None:
    async with engine_of(database_url) as engine:
        accounts, tenant = Accounts(engine, Vault(KEY)), await make_tenant(engine)
        await accounts.create(tenant, "a", FIELDS)
        cache = AccountCache(accounts)
        first = asyncio.create_task(cache.resolve(tenant, "a"))
        second = asyncio.create_task(cache.resolve(tenant, "a"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "a"
