"""The scale of the claim: what is scheduled, tried again or finished costs it nothing.

One 20th of the size that `python -m tests.bench scale` measures.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from mailproxy_server.queue import claim

from tests.bench.filling import Filling, due
from tests.bench.scale import LIMIT, MOST, cost
from tests.support import queue
from tests.support.postgres import Cluster
from tests.support.queue import Queue

SHARE = 20

PAST_WHAT_IS_DUE = claim.CLAIM.replace(
    "due_at BETWEEN band.bound AND now()",
    "(due_at + interval '0 s') BETWEEN band.bound AND now()",
)
"""A claim that does not stop where what is due ends, since the index cannot tell it where."""


@pytest.fixture
async def queues(postgres: Cluster) -> AsyncIterator[tuple[Queue, Queue]]:
    """Two queues with the same due deliveries; the second has all the rest beside them."""
    rows = due(LIMIT, datetime.now(UTC))
    urls = [postgres.make_database(), postgres.make_database()]
    async with AsyncExitStack() as stack:
        few, many = [await stack.enter_async_context(queue.opened(url)) for url in urls]
        await Filling(few.url, few.tenant_id, few.account_id).put_due(rows)
        await Filling(many.url, many.tenant_id, many.account_id).fill(rows, SHARE)
        yield few, many
    for url in urls:
        postgres.drop_database(url)


async def test_a_claim_reads_hardly_more_beside_all_that_is_not_due(
    queues: tuple[Queue, Queue],
) -> None:
    few, many = queues
    alone, beside = await cost(few), await cost(many)
    assert beside.plan["Actual Rows"] == LIMIT
    assert beside.scans == alone.scans == {"deliveries_due", "Tid Scan"}
    assert beside.sorted_rows <= LIMIT
    assert beside.buffers <= MOST * alone.buffers, (alone.parts, beside.parts)
    walked = await cost(many, PAST_WHAT_IS_DUE)
    assert walked.buffers > 2 * MOST * alone.buffers, "the control: it reads what is not due"
