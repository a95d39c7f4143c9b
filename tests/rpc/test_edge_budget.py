"""Room for requests: who waits for it, in which order, and how long."""

import asyncio

import pytest
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.rpc import budget as budgets
from mailproxy_server.rpc.budget import Budget, Held


def ask(budget: Budget, log: list[str], caller: str, size: int = 10) -> asyncio.Task[Held]:
    """Ask for room in a task of its own, which notes when it has it."""

    async def asking() -> Held:
        held = await budget.hold(caller[0], size)
        log.append(caller)
        return held

    return asyncio.create_task(asking())


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_callers_take_turns() -> None:
    budget, log = Budget(10), list[str]()
    first = await budget.hold("z", 10)
    tasks = [ask(budget, log, caller) for caller in ("a1", "a2", "a3", "a4", "b1", "c1", "b2")]
    await settled()
    assert log == []
    first.release()
    while tasks:
        await settled()
        (let_in,) = [task for task in tasks if task.done()]
        tasks.remove(let_in)
        let_in.result().release()
    assert log == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    assert budget.used == 0
    assert not budget.crowded


async def test_a_large_one_is_not_passed_by_small_ones() -> None:
    budget, log = Budget(100), list[str]()
    first = await budget.hold("z", 60)
    tasks = [ask(budget, log, "a1", 50), ask(budget, log, "b1", 1)]
    await settled()
    assert log == []
    first.shrink(40)
    await settled()
    assert log == ["a1", "b1"]
    for task in tasks:
        task.result().release()
    first.release()
    first.release()
    assert budget.used == 0


async def test_alone_one_larger_than_all_room_passes() -> None:
    budget = Budget(10)
    with await budget.hold("a", 50):
        assert budget.used == 50
    assert budget.used == 0


async def test_who_waits_too_long_is_asked_to_come_again_and_others_move_up() -> None:
    budget, log = Budget(100, patience=0.05), list[str]()
    first = await budget.hold("z", 60)
    large, small = ask(budget, log, "a1", 90), ask(budget, log, "b1", 10)
    with pytest.raises(Unavailable) as caught:
        await large
    assert (caught.value.reason, caught.value.retry_after) == ("INFLIGHT_BYTES", 0.5)
    outcome = (await asyncio.gather(small, return_exceptions=True))[0]
    assert isinstance(outcome, (Held, Unavailable))  # its own time ended with the large one's
    if isinstance(outcome, Held):
        outcome.release()
    first.release()
    assert (budget.used, budget.crowded) == (0, False)


async def test_one_that_is_cancelled_as_it_is_let_in_loses_no_room() -> None:
    budget, log = Budget(10), list[str]()
    first = await budget.hold("z", 10)
    both = [ask(budget, log, "a1"), ask(budget, log, "b1")]
    await settled()
    first.release()  # lets a1 in, whose task has not run since
    both[0].cancel()
    await settled()
    assert log == ["b1"]
    both[1].result().release()
    assert (budget.used, budget.crowded) == (0, False)


async def test_one_that_is_let_in_as_it_is_cancelled_is_passed_over() -> None:
    budget, log = Budget(10), list[str]()
    first = await budget.hold("z", 10)
    both = [ask(budget, log, "a1"), ask(budget, log, "b1")]
    await settled()
    both[0].cancel()  # its task has not run since
    first.release()
    await settled()
    assert log == ["b1"]
    both[1].result().release()
    assert (budget.used, budget.crowded) == (0, False)


async def test_so_many_may_wait_and_no_more_and_each_caller_has_a_share() -> None:
    budget, log = Budget(10), list[str]()
    first = await budget.hold("z", 10)
    many = [ask(budget, log, "a") for _ in range(budgets.MOST_WAITING)]
    await settled()
    with pytest.raises(Unavailable):
        await budget.hold("a", 10)
    other = ask(budget, log, "b")
    await settled()
    assert not other.done()
    for task in (*many, other):
        task.cancel()
    await asyncio.gather(*many, other, return_exceptions=True)
    first.release()
    assert (budget.used, budget.crowded) == (0, False)
