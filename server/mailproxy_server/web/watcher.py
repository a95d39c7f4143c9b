"""Watches tenants for the page: follows their reports, and counts their queues, while somebody
looks. One watcher a tenant, however many look."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from mailproxy_server.mail.errors import MailProxyError, Unavailable
from mailproxy_server.queue import counts, read
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.ids import born
from mailproxy_server.reports.cursor import Cursor
from mailproxy_server.reports.follow import follow
from mailproxy_server.reports.tail import Tail
from mailproxy_server.web.flow import KEPT_SECONDS, Flow

REPLAYED = 20_000
"""Reports of the last minutes that a new watcher reads at most."""
_RETRY_SECONDS = 1.0
_COUNT_SECONDS = 2.0
_SHARE = 0.02

log = structlog.get_logger()


@dataclass(slots=True)
class Watched:
    """What is known of one tenant: its flow, and its queue by account."""

    flow: Flow = field(default_factory=Flow)
    queue: list[dict[str, Any]] = field(default_factory=list)
    looking: int = 0
    task: asyncio.Task[None] | None = None


class Watcher:
    """Watches any number of tenants."""

    def __init__(self, pool: Pool, tail: Tail) -> None:
        self._pool = pool
        self._tail = tail
        self._tenants: dict[UUID, Watched] = {}

    @asynccontextmanager
    async def watching(self, tenant_id: UUID) -> AsyncIterator[Watched]:
        """Look at a tenant for the length of the block."""
        watched = self._tenants.setdefault(tenant_id, Watched())
        watched.looking += 1
        if watched.task is None:
            watched.task = asyncio.create_task(
                self._watch(tenant_id, watched), name="watcher", context=Context()
            )
        try:
            yield watched
        finally:
            watched.looking -= 1
            if not watched.looking:
                watched.task.cancel()
                self._tenants.pop(tenant_id, None)

    async def _watch(self, tenant_id: UUID, watched: Watched) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(tenant_id, watched))
            group.create_task(self._count(tenant_id, watched))

    async def _follow(self, tenant_id: UUID, watched: Watched) -> None:
        while True:
            try:
                start = await self._start(tenant_id)
                following = follow(self._tail, tenant_id, start, lambda _: True, KEPT_SECONDS)
                async with aclosing(following) as batches:
                    async for batch in batches:
                        for report in batch.reports:
                            watched.flow.add(report, _accepted_ms(report.message_id))
            except (MailProxyError, asyncpg.PostgresError):
                pass  # it is read anew
            except Exception as error:  # a fault of ours with one report must not stop the page
                log.error("the page cannot follow the reports", exc_info=error)
            watched.flow = Flow()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _start(self, tenant_id: UUID) -> Cursor:
        """Give where the last five minutes begin, or as much of them as is read."""
        since = datetime.now(UTC) - timedelta(seconds=KEPT_SECONDS)
        async with borrowed(self._pool) as link:
            head = await read.head(link, tenant_id)
            first = await read.first_offset(link, tenant_id, since)
        offset = head.last_offset if first is None else first - 1
        return Cursor(head.log_id, since.date(), max(offset, head.last_offset - REPLAYED))

    async def _count(self, tenant_id: UUID, watched: Watched) -> None:
        while True:
            began = time.monotonic()
            try:
                async with borrowed(self._pool) as link:
                    found = await counts.by_account(link, tenant_id, "")
            except (Unavailable, asyncpg.PostgresError):
                found = []
            watched.queue = [
                {
                    "account": each.account_id,
                    "due": each.due,
                    "retrying": each.retrying,
                    "scheduled": each.scheduled,
                    "sending": each.sending,
                    "held": each.held,
                }
                for each in found
            ]
            took = time.monotonic() - began
            await asyncio.sleep(max(_COUNT_SECONDS, took / _SHARE))


def _accepted_ms(message_id: str) -> int:
    """Give when a message was accepted; 0 for a report of none."""
    return round(born(UUID(message_id)).timestamp() * 1000) if message_id else 0
