"""A queue with an outbox: its mover, an application's connection, and short words for both."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from mailproxy_server.dispatcher.mover import Mover

from tests.support.queue import Queue

Link: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

EMAIL: dict[str, Any] = {
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
LARGEST = 100_000


def email(**composed: Any) -> dict[str, Any]:
    """Give a good email with these fields of its content replaced."""
    return {"composed": EMAIL["composed"] | composed}


@dataclass
class Desk:
    """One tenant's; `told` is what the mover has told, `bugs` the faults of ours."""

    queue: Queue
    app: Link
    tenant: str
    told: list[tuple[set[str], set[str]]] = field(default_factory=list)
    bugs: list[tuple[UUID, Exception]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mover = self.another_mover()

    def another_mover(self, poll_seconds: float = 0.1, largest: int = LARGEST) -> Mover:
        return Mover(
            self.queue.pool,
            largest,
            poll_seconds,
            lambda accounts, refused: self.told.append(
                (set(accounts), {str(row.tenant_id) for row in refused if row.tenant_id})
            ),
            lambda message_id, error: self.bugs.append((message_id, error)),
        )

    async def submit(
        self, given: Any = EMAIL, request_id: str | None = None, link: "Link | None" = None
    ) -> None:
        text = given if isinstance(given, str) else json.dumps(given)
        await (link or self.app).execute(
            "SELECT mailproxy.submit($1::text::json, $2, $3)", text, request_id, self.tenant
        )

    async def insert(self, count: int, given: Any = EMAIL) -> None:
        """Put rows in by plain INSERTs, which notify nobody."""
        await self.app.execute(
            """INSERT INTO mailproxy.outbox (tenant, email)
               SELECT $1, $2::text::json FROM generate_series(1, $3)""",
            self.tenant,
            json.dumps(given),
            count,
        )

    async def move(self) -> int:
        """Move all there is."""
        moved = 0
        while batch := await self.mover.move():
            moved += batch
        return moved

    async def move_late(self) -> int:
        """Move what was committed below rows that were moved: the next sweep's."""
        async with asyncio.timeout(100):  # a look that took a second is no sweep for fifty
            while not (moved := await self.move()):
                await asyncio.sleep(0.01)
        return moved

    async def refused(self) -> list[tuple[str, str]]:
        rows = await self.app.fetch(
            "SELECT field, error FROM mailproxy.outbox WHERE refused_at IS NOT NULL ORDER BY 1"
        )
        return [(row["field"], row["error"]) for row in rows]


@asynccontextmanager
async def opened(mail_queue: Queue) -> AsyncIterator[Desk]:
    """Open one on a queue whose account `demo` is the default."""
    await mail_queue.pool.execute(
        """INSERT INTO mailproxy.accounts (tenant_id, account_id, host, port, tls,
             tls_insecure_skip_verify, tls_ca_certificates, username, ehlo_name, max_connections,
             max_recipients_per_transaction, max_messages_per_connection, idle_ttl_seconds,
             pipelining, is_default)
           VALUES ($1, 'demo', 'h', 25, 'none', false, '', '', '', 1, 50, 0, 60, true, true)""",
        mail_queue.tenant_id,
    )
    tenant = await mail_queue.pool.fetchval("SELECT name FROM mailproxy.tenants")
    app = await asyncpg.connect(mail_queue.url)
    try:
        yield Desk(mail_queue, app, tenant)
    finally:
        await app.close()
