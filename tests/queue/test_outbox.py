"""The outbox: what an application's transaction commits is queued, exactly once."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import psycopg
import pytest
from mailproxy import outbox
from mailproxy_server.cli.outbox import GRANTS
from mailproxy_server.dispatcher.mover import Mover
from mailproxy_server.queue.read import Report
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from tests.support.queue import Queue

EMAIL = {
    "composed": {
        "from_address": {"address": "shop@a.test"},
        "to": [{"address": "ann@b.test"}],
        "subject": "Your order",
        "text_body": "Thank you.",
    }
}
LETTER: Any = {
    "from_address": "shop@a.test",
    "to": "ann@b.test",
    "subject": "Your order",
    "text": "Thank you.",
}


@dataclass
class Desk:
    """A queue, its mover, and an application's connection."""

    queue: Queue
    mover: Mover
    app: "asyncpg.Connection[asyncpg.Record]"
    told: list[tuple[set[str], set[str]]] = field(default_factory=list)

    @property
    def tenant(self) -> str:
        return self._tenant

    _tenant: str = ""

    async def submit(self, email: Any = EMAIL, request_id: str | None = None) -> None:
        text = email if isinstance(email, str) else json.dumps(email)
        await self.app.execute(
            "SELECT mailproxy.submit($1::json, $2, $3)", text, request_id, self.tenant
        )

    async def move(self) -> int:
        """Move all there is."""
        moved = 0
        while batch := await self.mover.move():
            moved += batch
        return moved

    async def refused(self) -> list[tuple[str, str]]:
        rows = await self.app.fetch(
            "SELECT field, error FROM mailproxy.outbox WHERE refused_at IS NOT NULL ORDER BY 1"
        )
        return [(row["field"], row["error"]) for row in rows]


@pytest.fixture
async def desk(mail_queue: Queue) -> AsyncIterator[Desk]:
    await mail_queue.pool.execute(
        """INSERT INTO mailproxy.accounts (tenant_id, account_id, host, port, tls,
             tls_insecure_skip_verify, tls_ca_certificates, username, ehlo_name, max_connections,
             max_recipients_per_transaction, max_messages_per_connection, idle_ttl_seconds,
             pipelining, is_default)
           VALUES ($1, 'demo', 'h', 25, 'none', false, '', '', '', 1, 50, 0, 60, true, true)""",
        mail_queue.tenant_id,
    )
    app = await asyncpg.connect(mail_queue.url)
    told: list[tuple[set[str], set[str]]] = []
    mover = Mover(mail_queue.pool, 10_000, 0.1, lambda a, t: told.append((set(a), set(t))))
    one = Desk(mail_queue, mover, app, told)
    one._tenant = await mail_queue.pool.fetchval("SELECT name FROM mailproxy.tenants")
    yield one
    await app.close()


async def test_a_row_is_invisible_until_its_transaction_commits(desk: Desk) -> None:
    transaction = desk.app.transaction()
    await transaction.start()
    await desk.submit()
    assert await desk.move() == 0
    await transaction.commit()
    assert await desk.move() == 1
    assert await desk.queue.count("deliveries") == 1
    assert await desk.queue.count("outbox") == 0
    assert desk.told == [({f"{desk.queue.tenant_id}/demo"}, set())]


async def test_what_is_rolled_back_is_never_queued(desk: Desk) -> None:
    transaction = desk.app.transaction()
    await transaction.start()
    await desk.submit()
    await transaction.rollback()
    assert await desk.move() == 0
    assert await desk.queue.count("messages") == 0


async def test_an_open_transaction_holds_up_neither_the_mover_nor_the_queue(desk: Desk) -> None:
    other = await asyncpg.connect(desk.queue.url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(
        "SELECT mailproxy.submit($1::json, 'late', $2)", json.dumps(EMAIL), desk.tenant
    )
    async with asyncio.timeout(5):
        for _ in range(3):
            await desk.submit()
            assert await desk.move() == 1
            await desk.queue.settle(await desk.queue.claim())
    await transaction.commit()
    await other.close()
    assert await desk.move() == 1
    assert await desk.queue.count("messages") == 4


async def test_movers_side_by_side_queue_each_row_once(desk: Desk) -> None:
    for number in range(1200):
        await desk.submit(request_id=f"order-{number}" if number % 2 else None)
    others = [Mover(desk.queue.pool, 10_000, 0.1, lambda a, t: None) for _ in range(4)]

    async def drain(mover: Mover) -> None:
        while await mover.move():
            pass

    await asyncio.gather(*map(drain, others))
    assert await desk.queue.count("messages") == await desk.queue.count("deliveries") == 1200
    assert await desk.queue.count("outbox") == 0


async def test_a_repeated_request_id_queues_once_and_another_content_is_refused(
    desk: Desk,
) -> None:
    await desk.submit(request_id="order-1")
    await desk.submit(request_id="order-1")
    assert await desk.move() == 2
    await desk.submit(request_id="order-1")
    other = {"composed": {**EMAIL["composed"], "subject": "Another"}}
    await desk.submit(other, request_id="order-1")
    assert await desk.move() == 2
    assert await desk.queue.count("messages") == 1
    ((field_, error),) = await desk.refused()
    assert field_ == "request_id"
    assert "email.composed.subject" in error


@pytest.mark.parametrize(
    ("email", "at"),
    [
        ({}, "email"),
        ("[]", "email"),
        ("7", "email"),
        ('{"composed": {"to": "nobody"}}', "email"),
        ({"composed": {**EMAIL["composed"], "colour": "red"}}, "email"),
        ("{" * 0 + '{"composed":' * 200 + "1" + "}" * 200, "email"),
        ({"composed": {**EMAIL["composed"], "subject": "a\u0000b"}}, "email.composed.subject"),
        ({"composed": {**EMAIL["composed"], "to": [{"address": "x"}]}}, "email.composed.to[0]"),
        ({"composed": EMAIL["composed"], "account_id": "none"}, "email.account_id"),
        ({"composed": {**EMAIL["composed"], "text_body": "x" * 20_000}}, "email"),
        ({"composed": EMAIL["composed"], "priority": "PRIORITY_URGENT"}, "email"),
    ],
)
async def test_a_row_that_is_not_valid_stays_with_its_field_and_is_reported_and_stops_nothing(
    desk: Desk, email: Any, at: str
) -> None:
    await desk.submit(email)
    await desk.submit()
    assert await desk.move() == 2
    assert await desk.queue.count("messages") == 1
    ((field_, error),) = await desk.refused()
    assert field_.startswith(at)
    assert error
    (report,) = await desk.queue.reports()
    assert isinstance(report, Report)
    assert (report.event, report.reason, report.log_offset) == (3, 35, 1)
    assert report.detail is not None
    assert report.detail.startswith(at)
    assert await desk.move() == 0, "it is looked at once"


async def test_a_row_for_no_tenant_stays(desk: Desk) -> None:
    await desk.app.execute("SELECT mailproxy.submit($1::json, NULL, 'nobody')", json.dumps(EMAIL))
    assert await desk.move() == 1
    assert await desk.refused() == [("tenant", "there is no such tenant")]


async def test_the_applications_role_may_put_mail_in_and_nothing_else(desk: Desk) -> None:
    name = f"app_{desk.queue.tenant_id.hex[:12]}"
    await desk.app.execute(GRANTS.replace("mailproxy_app", name))
    await desk.app.execute(f"SET ROLE {name}")
    await desk.submit()
    for forbidden in (
        "SELECT * FROM mailproxy.outbox",
        "DELETE FROM mailproxy.outbox",
        "UPDATE mailproxy.outbox SET tenant = 'x'",
        "SELECT * FROM mailproxy.messages",
        "SELECT * FROM mailproxy.accounts",
        "INSERT INTO mailproxy.deliveries DEFAULT VALUES",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await desk.app.execute(forbidden)
    await desk.app.execute("RESET ROLE")
    assert await desk.move() == 1
    await desk.app.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_the_client_puts_mail_in_by_asyncpg_and_sqlalchemy(desk: Desk) -> None:
    async with desk.app.transaction():
        await outbox.submit_async(desk.app, tenant=desk.tenant, request_id="by-asyncpg", **LETTER)
    url = desk.queue.url.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await outbox.submit_async(connection, tenant=desk.tenant, **LETTER)
    await engine.dispose()
    assert await desk.move() == 2
    assert await desk.queue.count("messages") == 2
    with pytest.raises(TypeError, match="neither"):
        outbox.submit(object(), **LETTER)


async def test_the_client_puts_mail_in_by_psycopg_and_a_session(desk: Desk) -> None:
    def put_in() -> None:
        with psycopg.connect(desk.queue.url) as connection:
            outbox.submit(connection, tenant=desk.tenant, **LETTER)
            connection.commit()
            outbox.submit(connection, tenant=desk.tenant, **LETTER)
            connection.rollback()
        url = desk.queue.url.replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(url)
        with Session(engine) as session, session.begin():
            outbox.submit(session, tenant=desk.tenant, **LETTER)
        engine.dispose()

    await asyncio.to_thread(put_in)
    assert await desk.move() == 2
