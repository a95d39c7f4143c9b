"""The plans of the hot statements: keys and indexes, whatever the statistics say."""

import json
from typing import Any

import pytest
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.queue import claim, contents, enqueue, hot, settle
from mailproxy_server.queue.settle import Settlement

from tests.support.queue import OPEN, SENT, Queue


class Explaining:
    """A connection that explains what it is asked to fetch, without doing it."""

    def __init__(self, link: hot.Connection):
        self._link = link
        self.plan = ""

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        self.plan = str(await self._link.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *arguments))
        return []


def scanned(plan: str) -> set[str]:
    """Give the tables that a plan reads sequentially."""
    found: set[str] = set()

    def walk(node: dict[str, Any]) -> None:
        if node["Node Type"] == "Seq Scan":
            found.add(node["Relation Name"])
        for child in node.get("Plans", ()):
            walk(child)

    walk(json.loads(plan)[0]["Plan"])
    return found


async def _plan(mail_queue: Queue, what: str) -> str:
    await mail_queue.submit_many(20)
    rows = await mail_queue.claim(10)
    retried = Outcome.deferred(Reason.THROTTLED, 1.0)
    async with hot.connection(mail_queue.pool) as link:
        explaining: Any = Explaining(link)
        if what == "claim":
            await claim.claim(
                explaining, mail_queue.tenant_id, "demo", mail_queue.worker_id, OPEN, 100
            )
        elif what == "settle":
            both = [Settlement(rows[0], SENT), *(Settlement(row, retried) for row in rows[1:])]
            await settle.settle(explaining, mail_queue.worker_id, both)
        elif what == "intake":
            await enqueue.insert(explaining, [mail_queue.message() for _ in range(50)])
        elif what == "take over":
            await claim.take_over(explaining, mail_queue.worker_id, mail_queue.worker_id, 500)
        elif what == "contents":
            ids = [row.message_id for row in rows]
            await contents.read(explaining, mail_queue.tenant_id, ids, 1000)
    return str(explaining.plan)


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("what", ["claim", "settle", "intake", "take over", "contents"])
async def test_no_hot_statement_scans_a_table(mail_queue: Queue, what: str, analyzed: bool) -> None:
    if analyzed:  # while it is empty: statistics that will be wrong
        await mail_queue.pool.execute("ANALYZE")
    assert scanned(await _plan(mail_queue, what)) == set()


async def test_control_a_scan_would_be_seen(mail_queue: Queue) -> None:
    plan = await mail_queue.pool.fetchval(
        "EXPLAIN (FORMAT JSON) SELECT * FROM mailproxy.deliveries WHERE recipient = 'x'"
    )
    assert scanned(plan) == {"deliveries"}
