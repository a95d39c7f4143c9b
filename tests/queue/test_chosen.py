"""Walking the deliveries that a selector means: all of them, a bounded number at a time."""

import json
from dataclasses import replace
from uuid import UUID

import pytest
from mailproxy_server.queue import hot
from mailproxy_server.queue.chosen import Chosen, walk

from tests.support.queue import Queue, add_tenant


async def walked(queue: Queue, chosen: Chosen, size: int, also: str = "true") -> list[list[UUID]]:
    async with hot.connection(queue.pool) as link:
        steps = walk(link, queue.tenant_id, chosen, also=also, size=size)
        return [[one.message_id for one in found] async for found in steps]


@pytest.fixture
async def ids(mail_queue: Queue) -> list[UUID]:
    """Messages to one, two and one recipient, the odd ones labelled, and one of elsewhere."""
    found = []
    for number, recipients in enumerate((["a@b.test"], ["a@b.test", "c@b.test"], ["a@b.test"])):
        labels = json.dumps({"kind": "news"}) if number % 2 else None
        message = replace(mail_queue.message(recipients), labels=labels)
        found.append((await mail_queue.submit(message)).message_id)
    elsewhere = replace(mail_queue.message(), tenant_id=await add_tenant(mail_queue.pool, "other"))
    await mail_queue.submit(elsewhere)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
async def test_all_are_found_in_steps_of_any_size(
    mail_queue: Queue, ids: list[UUID], size: int
) -> None:
    steps = await walked(mail_queue, Chosen(), size)
    assert max(map(len, steps)) <= size
    assert sorted(one for step in steps for one in step) == sorted([*ids, ids[1]])


@pytest.mark.parametrize("size", [1, 2, 100])
async def test_each_field_restricts(mail_queue: Queue, ids: list[UUID], size: int) -> None:
    for chosen, wanted in (
        (Chosen(message_ids=[ids[0], ids[1]]), [ids[0], ids[1], ids[1]]),
        (Chosen(labels={"kind": "news"}), [ids[1]] * 2),
        (Chosen(labels={"kind": "code"}), []),
        (Chosen(account_id="demo", labels={"kind": "news"}), [ids[1]] * 2),
        (Chosen(account_id="other"), []),
        (Chosen(labels={"kind": "news"}, message_ids=[ids[0]]), []),
    ):
        steps = await walked(mail_queue, chosen, size)
        assert [one for step in steps for one in step] == sorted(wanted)


async def test_a_condition_restricts_too(mail_queue: Queue, ids: list[UUID]) -> None:
    (row,) = await mail_queue.claim(1)
    queued = await walked(mail_queue, Chosen(), 2, also="d.worker_id IS NULL")
    assert row.message_id not in [one for step in queued for one in step] or row.recipient_no == 0
    assert sum(map(len, queued)) == 3


async def test_what_is_acted_on_while_walking_ends_the_walk_no_earlier(
    mail_queue: Queue, ids: list[UUID]
) -> None:
    seen = 0
    async with hot.connection(mail_queue.pool) as link:
        steps = walk(link, mail_queue.tenant_id, Chosen(), also="d.worker_id IS NULL", size=2)
        async for found in steps:
            seen += len(found)
            await mail_queue.claim(len(found))
    assert seen == 4
