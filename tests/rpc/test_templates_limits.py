"""Templates that never end or want all memory are ended, alone, and hold nobody up."""

import asyncio
from uuid import uuid4

import psutil
import pytest
from mailproxy_server.templates.kitchen import Kitchen
from mailproxy_server.templates.template import Flaw, Sources

from tests.support.eventually import eventually
from tests.support.serving import line_of

DEEP = "{% for a in x %}{% for b in x %}{% for c in x %}{% for d in x %}{% for e in x %}"
ENDLESS = Sources(text_body=DEEP + "{% endfor %}" * 5)
HUNDRED = {"x": [0] * 300}
GREEDY = [
    "{{ 'x' * 1000000000 }}",
    "{{ 'x'|center(1000000000) }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ [0] * 1000000000 }}",
]
FINE = Sources(text_body="{{ x }}")


def workers() -> list[psutil.Process]:
    mine = psutil.Process().children(recursive=True)
    return [each for each in mine if "templates.worker" in line_of(each)]


@pytest.mark.parametrize("source", GREEDY)
async def test_one_that_wants_all_memory_is_ended(source: str) -> None:
    kitchen = Kitchen()
    with pytest.raises(Flaw, match="memory"):
        await kitchen.render(uuid4(), Sources(text_body=source), {})
    assert (await kitchen.render(uuid4(), FINE, {"x": 1})).text_body == "1"
    await kitchen.close()


async def test_one_that_never_ends_is_ended_and_delays_no_other_tenant() -> None:
    kitchen = Kitchen(seconds=3)
    slow, quick = uuid4(), uuid4()
    await kitchen.render(quick, FINE, {"x": 1})
    waiting = asyncio.create_task(kitchen.render(slow, ENDLESS, HUNDRED))
    behind = asyncio.create_task(kitchen.render(slow, FINE, {"x": 1}))
    await asyncio.sleep(0)
    for number in range(20):
        assert (await kitchen.render(quick, FINE, {"x": number})).text_body == str(number)
    assert not waiting.done()
    assert not behind.done()
    with pytest.raises(Flaw, match="longer than 3 s"):
        await waiting
    assert (await behind).text_body == "1"
    await kitchen.close()
    await eventually(lambda: not workers(), "all have ended")


async def test_who_gives_up_leaves_no_process_at_work() -> None:
    kitchen = Kitchen(seconds=60)
    asking = asyncio.create_task(kitchen.render(uuid4(), ENDLESS, HUNDRED))
    await eventually(workers, "it has begun")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await eventually(lambda: not workers(), "it was ended")
    await kitchen.close()


async def test_a_worker_is_used_again_and_there_are_few() -> None:
    kitchen = Kitchen()
    for number in range(50):
        await kitchen.render(uuid4(), FINE, {"x": number})
    assert len(workers()) == 1
    await asyncio.gather(*(kitchen.render(uuid4(), FINE, {"x": n}) for n in range(50)))
    assert len(workers()) <= 4
    await kitchen.close()
