"""What a step through the queue costs: it depends on its size, not on how many carry a label."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from mailproxy_server.queue import cancel, chosen, control, holds, hot
from mailproxy_server.queue.chosen import Chosen, Found, keys, walk

from tests.support.queue import Queue

NEWS = {"kind": "news"}
STEP = 100


async def _fill(mail_queue: Queue, count: int) -> None:
    """Queue so many that carry the label, all held, and let the planner know."""
    await mail_queue.pool.execute(
        """WITH made AS (
               INSERT INTO mailproxy.messages (tenant_id, message_id, account_id, priority,
                   accepted_at, return_path, content, labels, recipient_count)
               SELECT $1, gen_random_uuid(), 'demo', 30, now(), '', '', $2, 1
               FROM generate_series(1, $3) RETURNING message_id)
           INSERT INTO mailproxy.deliveries (tenant_id, message_id, recipient_no, account_id,
                                             recipient, priority, due_at, held)
           SELECT $1, message_id, 0, 'demo', 'u@b.test', 30, now() + interval '1 day', true
           FROM made""",
        mail_queue.tenant_id,
        json.dumps(NEWS),
        count,
    )
    await mail_queue.pool.execute("ANALYZE")


async def _cost(mail_queue: Queue, what: str) -> int:
    """Do one step, roll it back, and give the buffers that it touched."""
    tenant_id = mail_queue.tenant_id
    async with hot.connection(mail_queue.pool) as link:
        found = await anext(walk(link, tenant_id, Chosen(labels=NEWS), size=STEP))
        assert len(found) == STEP
        sql, arguments = _statement(mail_queue, what, found)
        transaction = link.transaction()
        await transaction.start()
        told = await link.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *arguments)
        await transaction.rollback()
    plan = json.loads(told)[0]["Plan"]
    assert "messages_labels" not in told
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def _statement(mail_queue: Queue, what: str, found: list[Found]) -> tuple[str, tuple[Any, ...]]:
    where = keys(mail_queue.tenant_id, found)
    match what:
        case "walk":
            return chosen.look(), (where[0], UUID(int=0), -1, STEP, "", [], json.dumps(NEWS))
        case "free":
            return holds.FREE, where
        case "hold":
            return holds.HOLD, where
        case "withdraw":
            return cancel.WITHDRAW, (*where, uuid4())
        case _:
            return control.RUN_NOW, (*where, True, True)


@pytest.mark.parametrize("what", ["walk", "free", "hold", "withdraw", "run now"])
async def test_a_step_costs_the_same_in_a_deep_queue(mail_queue: Queue, what: str) -> None:
    await _fill(mail_queue, 2 * STEP)
    await mail_queue.pool.execute(
        "INSERT INTO mailproxy.pauses (tenant_id, labels) VALUES ($1, $2)",
        mail_queue.tenant_id,
        json.dumps({"kind": "other"}),
    )
    shallow = await _cost(mail_queue, what)
    await _fill(mail_queue, 100 * STEP)
    assert await _cost(mail_queue, what) <= 2 * shallow
