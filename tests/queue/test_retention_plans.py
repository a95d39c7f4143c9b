"""What a step of retention reads: by key, whatever the statistics say."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from mailproxy_server.queue import emptying, hot, purge

from tests.support.aged import attempt
from tests.support.queue import Queue

LAST = UUID(int=2**128 - 1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
STATEMENTS = {
    "lock": (purge._LOCK, ([LAST],)),
    "lock for contents": (emptying._LOCK, ([LAST],)),
    "look": (purge._LOOK.format(over=purge.OVER), (UUID(int=0), LAST, 500)),
    "remove": (purge._REMOVE.format(over=purge.OVER), ([(0, 1)],)),
    "look for contents": (emptying._LOOK, (0, LONG_AGO, datetime.now(UTC), 500)),
    "empty": (emptying._EMPTY, ([(0, 1)], datetime.now(UTC))),
}


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)


async def plan(mail_queue: Queue, sql: str, *arguments: object) -> list[dict[str, Any]]:
    async with hot.connection(mail_queue.pool) as link, link.transaction():
        await link.execute(purge.IN_ORDER)
        told = await link.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", mail_queue.tenant_id, *arguments)
    return list(nodes(json.loads(told)[0]["Plan"]))


def unkeyed(found: list[dict[str, Any]]) -> list[str]:
    """Give the tables of which more than what a key names is read, or is sorted."""
    return [name for node in found if (name := _read(node)) and not _keyed(node)]


def _read(node: dict[str, Any]) -> str | None:
    """Give the table that a node reads, or that it sorts what it reads of."""
    if node["Node Type"] == "Sort":
        (below,) = (each for each in node["Plans"] if each["Parent Relationship"] == "Outer")
        return None if below["Node Type"] == "CTE Scan" else "what is sorted"
    return node.get("Relation Name") if node["Node Type"].endswith("Scan") else None


def _keyed(node: dict[str, Any]) -> bool:
    key = node.get("Index Cond", "") + node.get("TID Cond", "")
    return any(each in key for each in ("message_id", "log_offset", "request_id", "ctid"))


@pytest.mark.parametrize("analyzed", [False, True])
@pytest.mark.parametrize("what", STATEMENTS)
async def test_a_step_reads_by_key(mail_queue: Queue, what: str, analyzed: bool) -> None:
    if analyzed:  # while it is empty: statistics that will be wrong
        await mail_queue.pool.execute("ANALYZE")
    await mail_queue.submit_many(100)
    await attempt(mail_queue)
    sql, arguments = STATEMENTS[what]
    assert unkeyed(await plan(mail_queue, sql, *arguments)) == []


async def test_control_as_a_join_it_reads_the_other_table_for_each_message(
    mail_queue: Queue,
) -> None:
    await mail_queue.pool.execute("ANALYZE")
    sql, arguments = STATEMENTS["empty"]
    assert "deliveries" in unkeyed(await plan(mail_queue, sql.replace("OFFSET 0", ""), *arguments))
