"""Limits hold in real time, and nobody waits for longer than a window, while clocks are set.

The judge's clock is right. The database's is set forward and back; each machine's CLOCK_BOOTTIME
goes a little wrong, as clocks do, and each look takes a moment. How much two clocks may differ
unseen is a thousandth and the time that looks take: what `ALMOST` leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mailproxy_server.policy import windows
from mailproxy_server.policy.sliding import worst
from mailproxy_server.policy.steady import Look
from mailproxy_server.policy.usage import SECOND, Usage, bucket
from mailproxy_server.policy.windows import Limit

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
HOUR, DAY = 3600.0, 86400.0
ALMOST = 0.998
MOMENT = 0.0002
RATES = (1.0004, 0.9996)
"""Of the two machines' clocks."""
thorough = settings(max_examples=300, deadline=None)
Looked = Callable[[Usage, Look], Usage]


@dataclass(frozen=True)
class Step:
    """One claim: `wait` windows after the one before, or as soon as there is room; the
    database's clock is set by so much before it; which machine makes it, and when its MAIL leaves.
    """

    wait: float | None
    by: float
    machine: int
    delay: float
    answered: float


@dataclass
class World:
    """What is true, and what was counted."""

    limits: list[Limit]
    looked: Looked
    now: float = 0.0
    wrong: float = 0.0
    usage: Usage = field(default_factory=Usage)
    mails: list[datetime] = field(default_factory=list)

    def clock(self, after: float = 0.0) -> datetime:
        return BEGIN + timedelta(seconds=self.now + after + self.wrong)

    def look(self, machine: int, answered: float = 0.0) -> datetime:
        """Look at the clocks; the database answers after that part of the moment it takes."""
        clock = self.clock(answered * MOMENT)
        began = round((1000.0 * machine + self.now * RATES[machine - 1]) * SECOND)
        look = Look(machine, began, round(MOMENT * SECOND), windows.micro(clock))
        self.usage = self.looked(self.usage, look)
        return clock

    def claim(self, step: Step) -> None:
        """Claim, and send as much as there is room for."""
        clock = self.look(step.machine, step.answered)
        room = windows.room(self.usage, self.limits, clock)
        if not room.recipients:
            return
        count = room.recipients
        self.usage = windows.reserve(
            self.usage, self.limits, clock, recipients=count, messages=count
        )
        left = self.now + step.delay * windows.hold(self.limits)
        self.mails += [BEGIN + timedelta(seconds=left)] * count

    def wait(self, step: Step) -> None:
        """Let time pass; a look in between would cost nothing, so there is none."""
        opens_at = windows.room(self.usage, self.limits, self.clock()).opens_at
        if step.wait is not None:
            self.now += step.wait * min(limit.window for limit in self.limits)
        elif opens_at:
            self.now += max((opens_at - self.clock()).total_seconds(), 0.0)

    def may_be_set(self, by: float, machines: int) -> bool:
        """Whether a step would be seen: who never looked has nothing to compare with."""
        return by <= 0 or len(self.usage.steady.seen) == machines


def carried_out(
    limits: list[Limit], steps: list[Step], machines: int, looked: Looked = windows.looked
) -> World:
    world = World(limits, looked)
    for step in steps:
        world.wait(step)
        if looked is not windows.looked or world.may_be_set(step.by, machines):
            world.wrong += step.by
        world.claim(step)
    return world


def exceeded(world: World) -> list[Limit]:
    instants = sorted(world.mails)
    return [
        limit
        for limit in world.limits
        if worst(instants, limit.window * ALMOST - 0.01).count > limit.count
    ]


def longest(limit: Limit) -> float:
    """Give how long a reservation may keep others waiting: its window, hold and bucket."""
    held = windows.hold([limit]) + bucket(limit.microseconds) / SECOND
    return (limit.window + held) / ALMOST + 0.01


LIMITS = st.lists(
    st.builds(Limit, st.integers(1, 12), st.sampled_from([1.0, 10.0, 60.0, HOUR, DAY])),
    min_size=1, max_size=3,
)  # fmt: skip
BY = st.just(0.0) | st.sampled_from([-DAY, -HOUR, -60.0, -3.0, -0.1, 0.1, 3.0, 60.0, HOUR, DAY])


def steps_of(machines: int) -> st.SearchStrategy[list[Step]]:
    part = st.floats(0, 1)
    wait = st.none() | st.floats(0, 1.2)
    return st.lists(
        st.builds(Step, wait, BY, st.integers(1, machines), part, part), max_size=40
    )  # fmt: skip


@thorough
@given(LIMITS, steps_of(1))
def test_no_window_of_real_time_is_exceeded_while_the_clock_is_set(
    limits: list[Limit], steps: list[Step]
) -> None:
    assert exceeded(carried_out(limits, steps, 1)) == []


@thorough
@given(LIMITS, steps_of(2))
def test_nor_over_two_machines_that_both_looked_before(
    limits: list[Limit], steps: list[Step]
) -> None:
    assert exceeded(carried_out(limits, steps, 2)) == []


@thorough
@given(LIMITS, steps_of(2), BY)
def test_after_a_step_nothing_counts_for_longer_than_its_window(
    limits: list[Limit], steps: list[Step], by: float
) -> None:
    world = carried_out(limits, steps, 2)
    world.wrong += by
    world.look(1)
    begin = world.now
    for limit in sorted(limits, key=longest):
        world.now = begin + longest(limit)
        assert windows.used(world.usage, limit, world.look(2)) == 0


GREEDY = [Step(None if n % 2 else 0.01, 0.0, 1, n % 2, 0.5) for n in range(12)]


def set_by(by: float) -> list[Step]:
    return [Step(step.wait, by * (n == 6), 1, step.delay, 0.5) for n, step in enumerate(GREEDY)]


@pytest.mark.parametrize("by", [HOUR, DAY])
def test_control_without_a_look_at_the_machines_clock_a_step_forward_frees_the_window(
    by: float,
) -> None:
    limits = [Limit(5, 60.0)]
    assert exceeded(carried_out(limits, set_by(by), 1)) == []
    assert exceeded(carried_out(limits, set_by(by), 1, lambda usage, _: usage)) == limits


@pytest.mark.parametrize("by", [-HOUR, -DAY])
def test_control_without_it_a_step_back_keeps_everybody_waiting(by: float) -> None:
    limits = [Limit(5, 60.0)]
    waiting = []
    for looked in (windows.looked, lambda usage, _: usage):
        world = carried_out(limits, GREEDY, 1, looked)
        world.wrong += by
        world.look(1)
        world.now += longest(limits[0])
        waiting.append(windows.used(world.usage, limits[0], world.look(1)))
    assert waiting == [0, 5]
