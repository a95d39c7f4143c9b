"""A clock that is never set, kept beside one that may be. Pure; all in whole microseconds.

The database's clock is the one that all replicas share, and it may be set: by a correction, or
by a failover to another machine. CLOCK_BOOTTIME is never set, but each machine has its own. So
what is counted is counted by a third: the database's clock plus an offset that is kept beside
the counts, under their lock. Each machine that looks compares how far the third went with how
long that took by its own CLOCK_BOOTTIME; where they disagree by more than two clocks drift and
the asking takes, the database's was set, and the offset takes up the difference.

It never goes back, and never faster than time, unless the database's clock was set forward and
the next to look is a machine that did not look since the step before, or the day before: it has
nothing to compare with. Where it errs otherwise it is slow, which makes usage count longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

_DRIFT = 1000
"""By less than a thousandth two clocks differ in rate: NTP slews either by 500 ppm at most."""
_MACHINES = 16
_KEPT = 86_400_000_000
"""As long as the longest window: a machine that did not look for so long has nothing to say."""


class Look(NamedTuple):
    """What the clocks said when a machine looked.

    `machine` names one boot of it, within which `began` means something: CLOCK_BOOTTIME just
    before the database was asked for `clock`, which `took` so long.
    """

    machine: int
    began: int
    took: int
    clock: int


class Seen(NamedTuple):
    """When a machine last looked: `at` by the steady clock."""

    at: int
    began: int
    took: int


@dataclass(frozen=True, slots=True)
class Steady:
    """The steady clock: the database's plus `offset`; `latest` it showed at the last look."""

    offset: int = 0
    latest: int = 0
    seen: Mapping[int, Seen] = field(default_factory=dict)

    def at(self, clock: int) -> int:
        """Give what it shows when the database's clock shows this."""
        return max(clock + self.offset, self.latest)

    def looked(self, look: Look) -> "Steady":
        """Take note of a look; a step of the database's clock that it shows is made good.

        After one, the others' looks are forgotten: they may have been before something that made
        this clock slow, and must not make it catch up.
        """
        now, last = look.clock + self.offset, self.seen.get(look.machine)
        stepped = now < self.latest
        if last is not None:
            passed = look.began - last.began
            drift = passed // _DRIFT + 1
            least = last.at - last.took + passed - drift
            if not least <= now <= last.at + passed + drift + look.took:
                now, stepped = least, True
        now = max(now, self.latest)
        mine = {look.machine: Seen(now, look.began, look.took)}
        if stepped:
            return Steady(now - look.clock, now, mine)
        recent = sorted(
            (
                (machine, seen)
                for machine, seen in self.seen.items()
                if machine != look.machine and seen.at > now - _KEPT
            ),
            key=lambda each: each[1].at,
        )
        return Steady(self.offset, now, dict(recent[1 - _MACHINES :]) | mine)
