"""Lanes whose wait for a connection of SQLAlchemy's pool timed out wait, and go on."""

import asyncio
from typing import Any

import asyncpg
import pytest
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.vault import Vault
from mailproxy_server.queue.engine import open_engine
from mailproxy_server.queue.unavailable import is_unavailable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tests.support.accounts import KEY, make_tenant
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on

ACCOUNTS = [f"shop{number}" for number in range(8)]
"""More than the pool has connections."""
CONNECTIONS = 4
"""Of the pool: two, and two more when they are in use."""
_BLOCKED = """
SELECT array_agg(pid || ' ' || query_start ORDER BY pid) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def submit_to_each(front: Front) -> None:
    for account in ACCOUNTS:
        await front.first.submit(composed({"account_id": account}))


async def test_a_dispatcher_whose_pool_is_exhausted_goes_on(database_url: str) -> None:
    async with ScriptedRelay({}) as relay, front_on(database_url) as front:
        for account in ACCOUNTS:
            await front.first.make_account(relay.port, account)
        # `role` fails the test when the dispatcher ends early.
        async with dispatching(front, statement_timeout_seconds=6):
            await submit_to_each(front)
            await relay.until(lambda: len(relay.messages) == len(ACCOUNTS), "sent")
            await hold_the_accounts(front)
            await submit_to_each(front)
            await relay.until(lambda: len(relay.messages) == 2 * len(ACCOUNTS), "sent", seconds=60)


async def hold_the_accounts(front: Front) -> None:
    """Lock the table until all that read it then were given up (after 7 s): who waited for their
    connections was told so before (after 5 s)."""
    watching = await asyncpg.connect(front.url)
    async with front.link.transaction():
        await front.link.execute("LOCK TABLE mailproxy.accounts IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(60):
            while len(before := await blocked(watching)) < CONNECTIONS:
                await asyncio.sleep(0.05)
            while before & await blocked(watching):
                await asyncio.sleep(0.05)
    await watching.close()


async def blocked(link: Any) -> set[str]:
    return set(await link.fetchval(_BLOCKED) or ())


async def test_control_the_wait_is_no_error_of_the_database_and_was_let_pass(
    database_url: str,
) -> None:
    """The clause of old caught DBAPIError: this one went through it and ended the dispatcher."""
    engine = open_engine(database_url, size=1, pool_timeout=0.2)
    accounts, tenant = Accounts(engine, Vault(KEY)), await make_tenant(engine)
    held = [await engine.connect() for _ in range(3)]
    with pytest.raises(PoolTimeoutError, match="QueuePool limit") as caught:
        await accounts.credentials(tenant, "a")
    assert not isinstance(caught.value, DBAPIError)
    assert is_unavailable(caught.value)
    for one in held:
        await one.close()
    assert await accounts.credentials(tenant, "a") is None
    await engine.dispose()
