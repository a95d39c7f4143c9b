"""Rate limits: how much may be sent within any window of a length. Pure; instants are arguments.

A reservation made at t lets MAIL leave at any moment of [t, t + hold], and counts against a
window of length W for as long as a new MAIL could share such a window with its own: over
W + hold, and for one sub-bucket more at most (`usage`).

Why no window [x, x + W] ever holds more MAILs than the limit allows: of the reservations whose
MAIL left in it, let the one made last be made at t. Its MAIL came no sooner, so t <= x + W. Any
other one's last moment is no sooner than its MAIL, so it is >= x >= t - W, and it was counted
when the last one was made. Which hold it had does not matter: limits may change, and accounts
of a group may have different ones.

Instants that are asked and told are the database's. What they are counted by goes with that clock
but is not set with it (`steady`), so that a limit holds in real time. What was sent while an
account had no limits was not counted, and the report log is not asked for it: a first limit holds
from its first reservation on.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import inf

from mailproxy_server.policy.steady import Look
from mailproxy_server.policy.usage import SECOND, Usage, Used, leaves

LEAST_HOLD = 0.1
"""Seconds from the reservation to MAIL that even the shortest window must allow."""
MOST_HOLD = 6.0
"""Seconds. What is claimed can be sent within about one, so longer is of no use; and when a
limit with a short window is added, it has to wait for what was reserved under the old ones."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FARTHEST = 10 * 365 * 86400 * SECOND


class Unit(StrEnum):
    """What a limit counts."""

    RECIPIENTS = "recipients"
    MESSAGES = "messages"
    """SMTP transactions."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` (from 1 on) within any `window` seconds, both ends included."""

    count: int
    window: float
    unit: Unit = Unit.RECIPIENTS

    @property
    def microseconds(self) -> int:
        """The window's length."""
        return round(self.window * SECOND)


def limits_of(text: str) -> tuple[Limit, ...]:
    """Give an account's limits from the JSON of its table."""
    return tuple(
        Limit(each["count"], each["window"], Unit(each["unit"])) for each in json.loads(text)
    )


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be reserved now; None: as much as you like.

    `opens_at` is set when one of them is 0: when there is room for one, unless somebody else
    takes it.
    """

    recipients: int | None = None
    messages: int | None = None
    opens_at: datetime | None = None


def hold(limits: Sequence[Limit]) -> float:
    """Give for how many seconds a reservation permits MAIL: a tenth of the shortest window,
    but not less than LEAST_HOLD and not more than MOST_HOLD."""
    shortest = min((limit.window for limit in limits), default=inf)
    return min(max(LEAST_HOLD, shortest / 10), MOST_HOLD)


def looked(usage: Usage, look: Look) -> Usage:
    """Take note of what the clocks said, before anything is asked of a usage that may change.

    What was counted by a clock that was set back before anybody looked counts from now on.
    """
    steady = usage.steady.looked(look)
    if not usage.steady.latest:
        usage = usage.not_after(steady.latest + round(MOST_HOLD * SECOND))
    return replace(usage, steady=steady)


def room(usage: Usage, limits: Sequence[Limit], now: datetime) -> Room:
    """Give what the limits leave at `now`."""
    left: dict[Unit, int] = {}
    for limit in limits:
        free = max(0, limit.count - used(usage, limit, now))
        left[limit.unit] = min(free, left.get(limit.unit, free))
    opens_at = room_at(usage, limits, now, 0) if 0 in left.values() else None
    return Room(left.get(Unit.RECIPIENTS), left.get(Unit.MESSAGES), opens_at)


def reserve(
    usage: Usage, limits: Sequence[Limit], now: datetime, *, recipients: int, messages: int
) -> Usage:
    """Add a reservation made at `now` under these limits; forget what counts no more."""
    clock = usage.steady.at(micro(now))
    windows = [limit.microseconds for limit in limits]
    return usage.plus(windows, clock, clock + _held(limits), Used(recipients, messages))


def used(usage: Usage, limit: Limit, now: datetime) -> int:
    """Give how much counts against a limit at `now`; past its count if that was lowered."""
    return sum(taken for _, taken in _pending(usage, limit, usage.steady.at(micro(now))))


def room_at(usage: Usage, limits: Sequence[Limit], now: datetime, ahead: int) -> datetime:
    """Give when one may go that has `ahead` others before it, if each goes as soon as it may.

    Exact for one limit, otherwise the latest of what each by itself allows; ten years away at
    most. The time it takes does not depend on `ahead`.
    """
    clock, held = usage.steady.at(micro(now)), _held(limits)
    turns = (_turn(usage, limit, held, clock, ahead) for limit in limits)
    turn = min(max(turns, default=clock), clock + _FARTHEST)
    return now + (turn - clock) * _MICROSECOND


def _turn(usage: Usage, limit: Limit, held: int, clock: int, ahead: int) -> int:
    """After the first `count`, each goes when the one that is `count` before it counts no more:
    always the same time later, once that first was at the end of a bucket."""
    window = limit.microseconds
    cycles, place = divmod(ahead, limit.count)
    first = _first(usage, limit, clock, place + 1)
    if not cycles:
        return first
    second = leaves(first + held, window)
    return second + (cycles - 1) * (leaves(second + held, window) - second)


def _first(usage: Usage, limit: Limit, clock: int, wanted: int) -> int:
    """Give when `wanted`, no more than the limit's count, have room together."""
    pending = sorted(_pending(usage, limit, clock))
    free, instant = limit.count - sum(taken for _, taken in pending), clock
    for until, taken in pending:
        if free >= wanted:
            break
        free, instant = free + taken, until
    return instant


def _pending(usage: Usage, limit: Limit, clock: int) -> list[tuple[int, int]]:
    """Give what counts against a limit: until when, and how much."""
    pairs = usage.counted(limit.microseconds, clock)
    if limit.unit is Unit.RECIPIENTS:
        return [(until, taken.recipients) for until, taken in pairs]
    return [(until, taken.messages) for until, taken in pairs]


def _held(limits: Sequence[Limit]) -> int:
    return round(hold(limits) * SECOND)


def micro(instant: datetime) -> int:
    """Give an instant in microseconds of Unix time."""
    return (instant - _EPOCH) // _MICROSECOND
