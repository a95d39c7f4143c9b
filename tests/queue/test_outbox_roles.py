"""Roles that may do what they are for, and nothing else: logged in as, not only set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from mailproxy_server.cli.outbox import GRANTS, RELAY_GRANTS
from mailproxy_server.queue import outbox

from tests.support.outbox_desk import LARGEST, Desk, Link


@asynccontextmanager
async def login(desk: Desk, grants: str) -> AsyncIterator[Link]:
    """Log in as an application's own role, to which the role of the printed SQL was granted."""
    group = f"group_{desk.queue.tenant_id.hex[:12]}"
    own = f"own_{desk.queue.tenant_id.hex[:12]}"
    for name in ("mailproxy_app", "mailproxy_relay"):
        grants = grants.replace(name, group)
    await desk.app.execute(grants)
    await desk.app.execute(grants)  # printed SQL may be run again
    await desk.app.execute(f"CREATE ROLE {own} LOGIN IN ROLE {group}")
    link = await asyncpg.connect(desk.queue.url, user=own)
    try:
        assert await link.fetchval("SELECT current_user") == own
        yield link
    finally:
        await link.close()
        await desk.app.execute(f"DROP OWNED BY {own}, {group}; DROP ROLE {own}; DROP ROLE {group}")


async def _is_forbidden(link: Link, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await link.execute(statement)


async def test_the_applications_role_may_put_mail_in_by_function_and_by_insert(
    desk: Desk,
) -> None:
    async with login(desk, GRANTS) as link:
        await desk.submit(link=link)
        await link.execute(
            "INSERT INTO mailproxy.outbox (tenant, email) VALUES ($1, '{}')", desk.tenant
        )
    assert await desk.move() == 2
    assert await desk.queue.count("messages") == 1


async def test_the_applications_role_may_do_nothing_else(desk: Desk) -> None:
    await desk.submit()
    relations = await desk.app.fetch(
        """SELECT relname, relkind = 'v' FROM pg_class
           WHERE relnamespace = 'mailproxy'::regnamespace AND relkind IN ('r', 'p', 'v')"""
    )
    assert len(relations) > 10
    async with login(desk, GRANTS) as link:
        for name, is_view in relations:
            await _is_forbidden(link, f"SELECT 1 FROM mailproxy.{name}")
            await _is_forbidden(link, f"SELECT * FROM mailproxy.{name}")
            if not is_view:
                await _is_forbidden(link, f"DELETE FROM mailproxy.{name}")
                await _is_forbidden(link, f"TRUNCATE mailproxy.{name}")
                if name != "outbox":
                    await _is_forbidden(link, f"INSERT INTO mailproxy.{name} DEFAULT VALUES")
        for statement in (
            "UPDATE mailproxy.outbox SET tenant = 'x'",
            "INSERT INTO mailproxy.outbox (email) VALUES ('{}') RETURNING outbox_id",
            "INSERT INTO mailproxy.outbox (email, refused_at) VALUES ('{}', now())",
            "CREATE TABLE mailproxy.mine ()",
        ):
            await _is_forbidden(link, statement)


async def test_control_the_owner_may(desk: Desk) -> None:
    await desk.submit()
    await desk.app.execute("SELECT * FROM mailproxy.outbox; DELETE FROM mailproxy.outbox")


async def test_a_role_without_the_grants_may_not_even_put_mail_in(desk: Desk) -> None:
    async with login(desk, "DO $$ BEGIN CREATE ROLE mailproxy_app; EXCEPTION WHEN "
                           "duplicate_object THEN NULL; END $$") as link:  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await desk.submit(link=link)


async def test_the_relays_role_may_take_rows_out_and_read_nothing_else(desk: Desk) -> None:
    await desk.submit()
    async with login(desk, RELAY_GRANTS) as link:
        async with link.transaction():
            (row,) = await outbox.take(link, 9, LARGEST)
            await outbox.remove(link, [row.outbox_id])
        await _is_forbidden(link, "SELECT 1 FROM mailproxy.messages")
        await _is_forbidden(link, "UPDATE mailproxy.outbox SET email = '{}'")
    assert await desk.queue.count("outbox") == 0
