"""The real queue, driven step by step from code that does not await, for the state machine."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

from mailproxy_server.queue import days, hot, workers
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.intake import Intake
from mailproxy_server.queue.workers import Worker

from tests.support.queue import Queue, add_tenant

T = TypeVar("T")

ALL = """TRUNCATE mailproxy.deliveries, mailproxy.workers, mailproxy.pauses,
mailproxy.pause_changes, mailproxy.rate_usage"""
ACCOUNT = """INSERT INTO mailproxy.accounts (tenant_id, account_id, host, port, tls,
  tls_insecure_skip_verify, tls_ca_certificates, username, ehlo_name, max_connections,
  max_recipients_per_transaction, max_messages_per_connection, idle_ttl_seconds, pipelining,
  is_default)
VALUES ($1, $2, 'relay.test', 25, 'none', false, '', '', '', 1, 1, 1, 1, true, true)"""
STANDING = """SELECT message_id, recipient_no, claim_no, worker_id, held, due_at <= now()
FROM mailproxy.deliveries WHERE tenant_id = ANY($1)"""
REPORTS = """SELECT log_offset, message_id, recipient_no, event FROM mailproxy.report_log
WHERE tenant_id = $1 ORDER BY log_offset"""
PASS = """UPDATE mailproxy.deliveries SET due_at = now()
WHERE tenant_id = ANY($1) AND due_at > now() AND worker_id IS NULL"""
EXPIRE = """UPDATE mailproxy.deliveries SET expire_at = now() - interval '1 second'
WHERE message_id = $1 AND worker_id IS NULL"""


class Driven:
    """A database with a loop of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()
        self.pool, self.link = self.run(self._opened())

    def close(self) -> None:
        """Let go of the database."""
        self.run(self._open.aclose())
        self._runner.close()

    async def _opened(self) -> tuple[hot.Pool, hot.Connection]:
        pool = await hot.open_pool(self._url, size=2, statement_timeout=10)
        self._open.push_async_callback(pool.close)
        link = await self._open.enter_async_context(hot.connection(pool))
        await days.ensure(link, datetime.now(UTC).date())
        return pool, link

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it, and give what comes of it."""
        return self._runner.run(work)

    def tenants(self, count: int) -> list[Queue]:
        """Empty the queue; give so many tenants with an account each."""
        self.run(self.link.execute(ALL))
        made = []
        for number in range(count):
            tenant_id = self.run(add_tenant(self.pool, f"{number}-{uuid4().hex}"))
            self.run(self.link.execute(ACCOUNT, tenant_id, "demo"))
            made.append(Queue(self._url, self.pool, tenant_id, Intake(self.pool)))
        return made

    def worker(self) -> UUID:
        """Give a dispatcher that is alive."""
        worker = Worker(uuid4(), "test", "test", 0, 0)
        self.run(workers.register(self.link, worker, 3600))
        return worker.worker_id

    def fetch(self, sql: str, *values: object) -> list[Any]:
        """Ask the database."""
        return list(self.run(self.link.fetch(sql, *values)))


def key(row: Claimed) -> tuple[UUID, int]:
    """What the model calls it."""
    return row.message_id, row.recipient_no
