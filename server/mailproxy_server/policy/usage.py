"""What was reserved of an account's limits, by sub-buckets of each window's length. Pure.

Instants and lengths are whole microseconds, instants by a clock that is never set (`steady`) and
began as Unix time, so that no rounding lets one too many through. A reservation is in the bucket of
its LAST moment, and a bucket counts until its window's length after its end: late by one bucket at
most, never early.

Kept for 1 s, 1 min, 1 h and 1 day whatever limits there are, so that a new limit with such a
window holds at once for all that was counted before. Any other window (tests use some) begins
with the buckets of the next longer one, each taken at its end: too much rather than too little.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mailproxy_server.policy.steady import Seen, Steady

SECOND = 1_000_000
_STANDARD = tuple(seconds * SECOND for seconds in (1, 60, 3600, 86400))


class Used(NamedTuple):
    """What was reserved in one bucket."""

    recipients: int = 0
    messages: int = 0

    def plus(self, more: "Used") -> "Used":
        """Give both together."""
        return Used(self.recipients + more.recipients, self.messages + more.messages)


Buckets = Mapping[int, Used]
"""By number: how many of their length since 1970 ended before."""


def bucket(window: int) -> int:
    """Give the length of a window's buckets: a twentieth up to 1 s, else a sixtieth."""
    return -(-window // (20 if window <= SECOND else 60))


def leaves(last: int, window: int) -> int:
    """Give when a reservation that holds until `last` counts no more against a window."""
    length = bucket(window)
    return (last // length + 1) * length + window


@dataclass(frozen=True, slots=True)
class Usage:
    """What was reserved: buckets by the length of their window, and the clock that they go by."""

    counts: Mapping[int, Buckets] = field(default_factory=dict)
    steady: Steady = field(default_factory=Steady)

    def counted(self, window: int, clock: int) -> Iterator[tuple[int, Used]]:
        """Give what counts against a window at `clock`, and until when; in no order."""
        length = bucket(window)
        for number, used in self._buckets(window).items():
            until = leaves(number * length, window)
            if until > clock:
                yield until, used

    def plus(self, windows: Iterable[int], clock: int, last: int, more: Used) -> "Usage":
        """Add a reservation that holds until `last`, for the standard windows and these.

        Forgets what counts no more at `clock`, and windows that are neither.
        """
        counts = {}
        for window in sorted({*_STANDARD, *windows}):
            length = bucket(window)
            buckets = {
                number: used
                for number, used in self._buckets(window).items()
                if leaves(number * length, window) > clock
            }
            number = last // length
            buckets[number] = buckets.get(number, Used()).plus(more)
            counts[window] = buckets
        return Usage(counts, self.steady)

    def not_after(self, last: int) -> "Usage":
        """Give the same with what was stamped after `last` stamped with it, or it would count
        for longer than its window: a clock that was set back since left such stamps."""
        counts = {}
        for window, buckets in self.counts.items():
            most = last // bucket(window)
            moved: dict[int, Used] = {}
            for number, used in buckets.items():
                place = min(number, most)
                moved[place] = moved.get(place, Used()).plus(used)
            counts[window] = moved
        return Usage(counts, self.steady)

    def to_json(self) -> str:
        """Give {window: [number, recipients, messages, steps to the next, recipients, …]}.

        The clock is under keys that are no window's length, in threes too, so that a replica
        of an earlier version reads over it: 0 for itself, below 0 for each machine.
        """
        flat = {window: _packed(buckets) for window, buckets in self.counts.items()}
        if self.steady.latest:
            flat[0] = [self.steady.offset, self.steady.latest, 0]
            flat |= {-machine: [*seen] for machine, seen in self.steady.seen.items()}
        return json.dumps(flat, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Usage":
        """Read what `to_json` gave; what it cannot have given raises ValueError or TypeError."""
        counts, seen, clock = {}, {}, (0, 0)
        for key, flat in json.loads(text).items():
            window = int(key)
            if window > 0:
                counts[window] = _unpacked(flat)
            elif window < 0:
                seen[-window] = Seen(*flat)
            else:
                offset, latest, _ = flat
                clock = offset, latest
        return cls(counts, Steady(*clock, seen))

    def _buckets(self, window: int) -> Buckets:
        if window in self.counts or not self.counts:
            return self.counts.get(window, {})
        longer = min((each for each in self.counts if each > window), default=max(self.counts))
        found: dict[int, Used] = {}
        for number, used in self.counts[longer].items():
            last = ((number + 1) * bucket(longer) - 1) // bucket(window)
            found[last] = found.get(last, Used()).plus(used)
        return found


def _packed(buckets: Buckets) -> list[int]:
    flat: list[int] = []
    before = 0
    for number, used in sorted(buckets.items()):
        flat += (number - before, *used)
        before = number
    return flat


def _unpacked(flat: list[int]) -> Buckets:
    buckets = {}
    number = 0
    for step, recipients, messages in zip(*[iter(flat)] * 3, strict=True):
        number += step
        buckets[number] = Used(recipients, messages)
    return buckets
