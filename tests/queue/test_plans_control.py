"""The plans of what is done to the queue by hand: keys and indexes, however much there is."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.queue import (
    cancel,
    control,
    expire,
    holds,
    hot,
    listing,
    pauses,
    requeue,
    reschedule,
)
from mailproxy_server.queue.chosen import Chosen, walk
from mailproxy_server.queue.listing import Wanted
from mailproxy_server.queue.lowwater import BEGINNING
from mailproxy_server.queue.pauses import Paused

from tests.support.queue import Queue

NEWS = {"kind": "news"}
ANY = (UUID(int=2**128 - 1), UUID(int=0))


class Watched:
    """A connection that notes the plan of all that it is asked to do, and does it."""

    def __init__(self, link: hot.Connection):
        self._link = link
        self.scanned: set[str] = set()

    def transaction(self) -> Any:
        return self._link.transaction()

    async def fetch(self, sql: str, *arguments: Any) -> Any:
        await self._explain(sql, arguments)
        return await self._link.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: Any) -> Any:
        await self._explain(sql, arguments)
        return await self._link.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        await self._explain(sql, arguments)
        return await self._link.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> Any:
        await self._explain(sql, arguments)
        return await self._link.execute(sql, *arguments)

    async def _explain(self, sql: str, arguments: Any) -> None:
        plan = await self._link.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *arguments)
        self._walk(json.loads(plan)[0]["Plan"])

    def _walk(self, node: dict[str, Any]) -> None:
        if node["Node Type"] == "Seq Scan":
            self.scanned.add(node["Relation Name"])
        for child in node.get("Plans", ()):
            self._walk(child)


@asynccontextmanager
async def watched(queue: Queue) -> AsyncIterator[Any]:
    async with hot.connection(queue.pool) as link:
        yield Watched(link)


@pytest.fixture
async def messages(mail_queue: Queue) -> list[UUID]:
    """20 messages; of one of them the delivery failed."""
    labels = json.dumps(NEWS)
    made = [replace(mail_queue.message(), labels=labels) for _ in range(20)]
    ids = [(await mail_queue.submit(one)).message_id for one in made]
    failing = await mail_queue.claim(1)
    await mail_queue.settle(failing, Outcome.failed(Reason.RECIPIENT_REFUSED))
    await mail_queue.pool.execute("ANALYZE")
    return ids


@pytest.mark.parametrize(
    "chosen",
    [Chosen(), Chosen("demo"), Chosen(labels=NEWS), Chosen(message_ids=[UUID(int=7)])],
    ids=["all", "account", "labels", "ids"],
)
async def test_no_selector_scans_a_table(
    mail_queue: Queue, messages: list[UUID], chosen: Chosen
) -> None:
    tenant_id = mail_queue.tenant_id
    async with watched(mail_queue) as link:
        async for found in walk(link, tenant_id, chosen):
            await cancel.withdraw(link, tenant_id, found, uuid4())
        await control.run_now(link, tenant_id, chosen, retries=True, scheduled=True)
        await listing.page(link, tenant_id, Wanted(chosen, *ANY), 10)
        states = Wanted(chosen, *ANY, states=[1], recipient="ann@b.test")
        await listing.page(link, tenant_id, states, 10)
        assert link.scanned == set()


async def test_nothing_that_is_done_to_a_message_scans_a_table(
    mail_queue: Queue, messages: list[UUID]
) -> None:
    tenant_id = mail_queue.tenant_id
    async with watched(mail_queue) as link:
        await reschedule.expiry(link, tenant_id, messages[1])
        await reschedule.move(link, tenant_id, messages[1], BEGINNING, None)
        with pytest.raises(requeue.AccountGone):
            await requeue.requeue(link, tenant_id, messages[0], BEGINNING, (), None)
        await cancel.seize_requested(link, uuid4(), 10)
        await expire.seize(link, uuid4(), 10)
        assert link.scanned == set()


async def test_no_pause_scans_a_table_of_messages(mail_queue: Queue, messages: list[UUID]) -> None:
    tenant_id = mail_queue.tenant_id
    async with watched(mail_queue) as link:
        for paused in (Paused("demo"), Paused(labels=NEWS), Paused("demo", NEWS)):
            await pauses.begin(link, tenant_id, paused, "")
            if paused.labels:
                assert await holds.hold(link, tenant_id, paused) == (19, 0)
            await pauses.concerned(link, tenant_id, "demo")
            await pauses.end(link, tenant_id, paused)
            if paused.labels:
                assert await holds.free(link, tenant_id, paused) == 19
        await holds.follow(link, 0, 0)
        assert link.scanned <= {"pause_changes"}, "which has a row for each change of a minute"
