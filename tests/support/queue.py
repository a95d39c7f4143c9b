"""A queue for tests: a tenant in a fresh database, and short words for what is done to it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.mail.transcript import Reply
from mailproxy_server.queue import claim, days, hot, read, settle
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.enqueue import Accepted, NewMessage
from mailproxy_server.queue.ids import uuid7_in_order
from mailproxy_server.queue.intake import Intake
from mailproxy_server.queue.lowwater import BEGINNING
from mailproxy_server.queue.settle import Settlement

OPEN = (BEGINNING,) * 4
"""Bounds that hide nothing."""
SENT = Outcome.sent(Reply(250, "2.0.0", "queued"), "id-of-the-relay")


@dataclass
class Queue:
    """One tenant with one account in a database."""

    url: str
    pool: hot.Pool
    tenant_id: UUID
    intake: Intake
    account_id: str = "demo"
    worker_id: UUID = field(default_factory=uuid4)

    def message(
        self,
        recipients: Sequence[str] = ("ann@b.test",),
        *,
        request_id: str | None = None,
        priority: int = 30,
        send_at: datetime | None = None,
        digests: bytes = b"",
    ) -> NewMessage:
        return NewMessage(
            tenant_id=self.tenant_id,
            message_id=uuid7_in_order(time.time_ns(), os.urandom(8)),
            account_id=self.account_id,
            request_id=request_id,
            digests=digests,
            priority=priority,
            send_at=send_at,
            expire_at=None,
            return_path="a@a.test",
            content=b"content",
            labels=None,
            metadata=None,
            traceparent=None,
            recipients=tuple(recipients),
        )

    async def submit(self, message: NewMessage) -> Accepted:
        taken = await self.intake.submit(message)
        assert isinstance(taken, Accepted)
        return taken

    async def submit_many(self, count: int, *, priority: int = 30) -> None:
        messages = [self.message(priority=priority) for _ in range(count)]
        for taken in await self.intake.submit_all(messages):
            assert isinstance(taken, Accepted)

    async def claim(
        self,
        limit: int = 100,
        *,
        worker_id: UUID | None = None,
        bounds: Sequence[datetime] = OPEN,
        link: hot.Connection | None = None,
        sql: str = claim.CLAIM,
    ) -> list[Claimed]:
        async with hot.connection(self.pool) if link is None else _given(link) as one:
            got = await claim.claim(
                one,
                self.tenant_id,
                self.account_id,
                worker_id or self.worker_id,
                bounds,
                limit,
                sql,
            )
        return got.rows if got else []

    async def settle(
        self,
        rows: Sequence[Claimed],
        outcome: Outcome = SENT,
        *,
        worker_id: UUID | None = None,
        sql: str = settle.SETTLE,
    ) -> int:
        settlements = [Settlement(row, outcome) for row in rows]
        async with hot.connection(self.pool) as link:
            return len(await settle.settle(link, worker_id or self.worker_id, settlements, sql))

    async def reports(self) -> list[read.Report]:
        async with hot.connection(self.pool) as link:
            return (await read.after(link, self.tenant_id, 0, BEGINNING, 1_000_000)).reports

    async def count(self, table: str) -> int:
        found: int = await self.pool.fetchval(f"SELECT count(*) FROM mailproxy.{table}")
        return found


@asynccontextmanager
async def _given(link: hot.Connection) -> AsyncIterator[hot.Connection]:
    yield link


@asynccontextmanager
async def opened(url: str, *, connections: int = 10, timeout: float = 10) -> AsyncIterator[Queue]:
    """Open a queue on a migrated database for the length of the block."""
    pool = await hot.open_pool(url, size=connections, statement_timeout=timeout)
    try:
        tenant_id = await add_tenant(pool, f"tenant-{uuid4().hex[:8]}")
        async with hot.connection(pool) as link:
            await days.ensure(link, datetime.now(UTC).date())
        intake = Intake(pool)
        yield Queue(url, pool, tenant_id, intake)
        await intake.close()
    finally:
        await pool.close()


async def add_tenant(pool: hot.Pool, name: str) -> UUID:
    tenant_id = uuid4()
    await pool.execute(
        "INSERT INTO mailproxy.tenants (tenant_id, name) VALUES ($1, $2)", tenant_id, name
    )
    return tenant_id


async def until_one_waits(mail_queue: Queue) -> None:
    """Wait until a statement in this database waits for a lock."""
    async with asyncio.timeout(20):
        while not await mail_queue.pool.fetchval(
            """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
               AND datname = current_database()"""
        ):
            await asyncio.sleep(0.01)


async def until_ended_or_waiting(task: asyncio.Task[Any], mail_queue: Queue) -> None:
    """Wait until the task has ended, or a statement (its own) waits for a lock."""
    waiting = asyncio.create_task(until_one_waits(mail_queue))
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
