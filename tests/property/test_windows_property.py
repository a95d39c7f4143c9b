"""No sliding window ever holds more than its limit, whenever within its hold each MAIL leaves.

The judge counts exact instants by brute force. The clock that reservations are made by may be
set back; the instants are those of a clock that is right.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mailproxy_server.policy import windows
from mailproxy_server.policy.sliding import worst
from mailproxy_server.policy.usage import Usage, Used
from mailproxy_server.policy.windows import Limit, Unit

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
WINDOWS = (1.0, 2.5, 10.0, 60.0, 3600.0, 86400.0)
thorough = settings(max_examples=300, deadline=None)


@dataclass(frozen=True)
class Step:
    """One claim: how long after the one before, of how much, and when its MAILs leave.

    `wait` is a part of the shortest window, None until there is room; `set_back` are seconds that
    the clock loses before it; `which` of two accounts of the group makes it.
    """

    wait: float | None
    set_back: float
    recipients: int
    messages: int
    delays: list[float]
    which: int = 0


Reserve = Callable[[Usage, list[Limit], datetime, int, int], Usage]


def _reserve(usage: Usage, limits: list[Limit], now: datetime, to: int, messages: int) -> Usage:
    return windows.reserve(usage, limits, now, recipients=to, messages=messages)


@dataclass
class Sent:
    """What left: the instant of each recipient's MAIL, and of each MAIL."""

    recipients: list[datetime] = field(default_factory=list)
    messages: list[datetime] = field(default_factory=list)

    def of(self, limit: Limit) -> list[datetime]:
        return sorted(self.recipients if limit.unit is Unit.RECIPIENTS else self.messages)


def carried_out(accounts: list[list[Limit]], steps: list[Step], reserve: Reserve) -> Sent:
    """Claim and send as the steps say, as far as there is room."""
    usage, sent = Usage(), Sent()
    now, lag = BEGIN, timedelta(0)
    for step in steps:
        limits = accounts[step.which % len(accounts)]
        lag += timedelta(seconds=step.set_back)
        room = windows.room(usage, limits, now - lag)
        if step.wait is not None:
            now += timedelta(seconds=step.wait * min(limit.window for limit in limits))
        elif room.opens_at:
            now = room.opens_at + lag
        room = windows.room(usage, limits, now - lag)
        if room.opens_at:
            continue
        recipients = min(step.recipients, room.recipients or step.recipients)
        messages = min(step.messages, recipients, room.messages or step.messages)
        usage = reserve(usage, limits, now - lag, recipients, messages)
        hold = windows.hold(limits)
        for number in range(recipients):  # the n-th recipient goes with the n-th message, in turn
            at = now + timedelta(seconds=hold * step.delays[number % messages % len(step.delays)])
            sent.recipients.append(at)
            sent.messages += [at] if number < messages else []
    return sent


def exceeded(sent: Sent, limits: list[Limit]) -> list[Limit]:
    """Give the limits of which a window holds too many: every one that begins at a MAIL."""
    found = []
    for limit in limits:
        instants, length = sent.of(limit), timedelta(seconds=limit.window)
        most = max(
            (sum(first <= each <= first + length for each in instants) for first in instants),
            default=0,
        )
        assert most == worst(instants, limit.window).count
        found += [limit] if most > limit.count else []
    return found


LIMIT = st.builds(Limit, st.integers(1, 12), st.sampled_from(WINDOWS), st.sampled_from(Unit))
LIMITS = st.lists(LIMIT, min_size=1, max_size=3)
STEPS = st.lists(
    st.builds(
        Step,
        wait=st.none() | st.floats(0, 1.2),
        set_back=st.just(0.0) | st.sampled_from([0.001, 0.1, 3.0]),
        recipients=st.integers(1, 20),
        messages=st.integers(1, 20),
        delays=st.lists(st.sampled_from([0.0, 1.0]) | st.floats(0, 1), min_size=1, max_size=4),
        which=st.integers(0, 1),
    ),
    max_size=40,
)


@thorough
@given(LIMITS, STEPS)
def test_no_window_of_any_limit_is_exceeded(limits: list[Limit], steps: list[Step]) -> None:
    assert exceeded(carried_out([limits], steps, _reserve), limits) == []


@thorough
@given(LIMITS, LIMITS, LIMITS, STEPS)
def test_accounts_of_a_group_keep_the_limits_that_they_share(
    shared: list[Limit], one: list[Limit], other: list[Limit], steps: list[Step]
) -> None:
    sent = carried_out([shared + one, shared + other], steps, _reserve)
    assert exceeded(sent, shared) == []


@thorough
@given(LIMITS, LIMITS, STEPS, STEPS)
def test_a_limit_that_is_added_holds_for_what_comes_after_it(
    before: list[Limit], added: list[Limit], first: list[Step], second: list[Step]
) -> None:
    """A window that has a MAIL from after the change in it holds no more than the limit."""
    steps = [Step(**{**vars(step), "which": 0}) for step in first]
    steps += [Step(**{**vars(step), "which": 1}) for step in second]
    old = carried_out([before, added], steps[: len(first)], _reserve)
    sent = carried_out([before, added], steps, _reserve)
    for limit in exceeded(sent, added):
        alone = worst(old.of(limit), limit.window).count
        assert worst(sent.of(limit), limit.window).count <= max(limit.count, alone)


GREEDY = [Step(None, 0.0, 20, 20, [1.0, 0.0] if number % 2 else [0.0, 1.0]) for number in range(9)]


@pytest.mark.parametrize("window", WINDOWS)
def test_control_without_the_reservation_windows_are_exceeded(window: float) -> None:
    limits = [Limit(5, window)]
    assert exceeded(carried_out([limits], GREEDY, _reserve), limits) == []
    sent = carried_out([limits], GREEDY, lambda usage, *_: usage)
    assert exceeded(sent, limits) == limits


@pytest.mark.parametrize("window", [1.0, 2.5, 10.0, 60.0])
def test_control_a_reservation_that_counts_from_its_beginning_is_not_enough(window: float) -> None:
    """The last moment of its hold is what counts: see the proof in `windows`."""

    def too_short(usage: Usage, _: list[Limit], now: datetime, to: int, messages: int) -> Usage:
        clock = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return usage.plus([round(window * 1e6)], clock, clock, Used(to, messages))

    limits = [Limit(5, window)]
    assert exceeded(carried_out([limits], GREEDY, too_short), limits) == limits


def used_part(limits: list[Limit], begin: float) -> float:
    """Send as fast as is allowed for some windows: the part used of what the limits allow."""
    usage, now, sent = Usage(), BEGIN + timedelta(seconds=begin), 0
    slowest = min(limits, key=lambda limit: limit.count / limit.window)
    end = now + timedelta(seconds=20 * slowest.window)
    while (room := windows.room(usage, limits, now)).opens_at is None or room.opens_at < end:
        if room.opens_at:
            now = room.opens_at
            continue
        number = min(each for each in (room.recipients, room.messages) if each is not None)
        usage = windows.reserve(usage, limits, now, recipients=number, messages=number)
        sent += number
    return sent / (20 * slowest.count)


@thorough
@given(LIMIT, st.floats(0, 2000))
def test_one_limit_is_used_to_four_fifths_at_least(limit: Limit, begin: float) -> None:
    assert 0.8 <= used_part([limit], begin) <= 1.0


@pytest.mark.parametrize(
    "limits",
    [
        [Limit(5, 1.0), Limit(30, 10.0)],
        [Limit(14, 1.0), Limit(50_000, 86400.0)],
        [Limit(10, 1.0), Limit(300, 60.0), Limit(5000, 3600.0, Unit.MESSAGES)],
        [Limit(30, 60.0, Unit.MESSAGES), Limit(10_000, 86400.0)],
    ],
)
def test_several_limits_are_used_to_four_fifths_at_least(limits: list[Limit]) -> None:
    assert used_part(limits, 0.0) >= 0.8
