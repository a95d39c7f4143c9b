"""How much a lane claims, and from where: priorities, room, age, and the sweep."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from mailproxy_server.dispatcher.clock import boottime
from mailproxy_server.dispatcher.pace import Pace
from mailproxy_server.dispatcher.relays import Key
from mailproxy_server.queue import claim, setback
from mailproxy_server.queue.claim import Claim, Claimed
from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.lowwater import NEVER, PRIORITIES, LowWater

_SWEEP_SHARE = 0.02
_AGED_MOST = 100.0
_LEAST_SETBACK = timedelta(seconds=1)
"""And a thousandth of the time passed, by which two clocks differ of themselves."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What all claims of a dispatcher go by.

    `margin` is that of the low-water bounds; `oldest_share` the part of what is claimed that
    goes by age alone.
    """

    worker_id: UUID
    poll_seconds: float
    sweep_seconds: float
    margin: timedelta
    oldest_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a claim brought, and the seconds until there may be more.

    `more`: there is more than the lane has room for; who finishes a send asks again.
    """

    rows: Sequence[Claimed]
    pause: float
    more: bool = False
    by_age: frozenset[UUID] = frozenset()


class Claims:
    """Claims of one account, from its low-water bounds on."""

    def __init__(self, key: Key, scope: Scope) -> None:
        self.low = LowWater(scope.margin)
        self.pace = Pace(time.monotonic())
        self.target = 1
        self._key = key
        self._scope = scope
        self._aged = 0.0
        self._clock: tuple[datetime, float] | None = None
        self._next_sweep = time.monotonic() + scope.sweep_seconds

    @property
    def poll_seconds(self) -> float:
        """The longest pause."""
        return self._scope.poll_seconds

    async def fill(self, link: Connection, connections: int, held: int, waiting: int) -> Drawn:
        """Claim what there is room for beside the `held` ones, of which the least urgent that
        has not begun has the priority `waiting`."""
        now = time.monotonic()
        self.target = self.pace.target(now, connections)
        if now >= self._next_sweep:
            return await self._sweep(link, now, max(1, self.target - held))
        room = self.target - held
        if room * 2 < self.target:
            return await self._urgent(link, 2 * connections, waiting)
        return await self.take(link, room)

    async def take(self, link: Connection, room: int) -> Drawn:
        """Claim at most `room` deliveries."""
        began = boottime()
        aged = await self._by_age(link, room)
        got = await self._claim(link, self.low.bounds, room - len(aged))
        rows = aged + (got.rows if got else [])
        self.count(rows)
        by_age = frozenset(row.message_id for row in aged)
        if got and len(rows) == room:
            await self.filled(link, got, began)
            return Drawn(rows, self._scope.poll_seconds, True, by_age)
        now, pause = await self._next(link)
        if now is not None:
            self.low.exhausted(got.now if got else now)
        return Drawn(rows, pause, False, by_age)

    async def filled(self, link: Connection, got: Claim, began: float) -> None:
        """A claim that began then (CLOCK_BOOTTIME) took as much as was asked for."""
        if not await self._was_set_back(link, got.now, began):
            last = got.rows[-1]
            self.low.taken(got.now, last.priority, last.due_at)

    async def until_due(self, link: Connection) -> float:
        """Give the seconds until the next one is due; 0 when one is."""
        now, pause = await self._next(link)
        if pause and now is not None:
            self.low.exhausted(now)
        return pause

    async def _next(self, link: Connection) -> tuple[datetime | None, float]:
        """Give the database's time, or None when it was set back, and until when nothing is due."""
        began = boottime()
        now, due_at = await claim.next_due(link, *self._key, self.low.bounds)
        if await self._was_set_back(link, now, began):
            return None, 0.0
        wait = (due_at - now).total_seconds() if due_at else self._scope.poll_seconds
        return now, min(max(wait, 0.0), self._scope.poll_seconds)

    async def _was_set_back(self, link: Connection, now: datetime, began: float) -> bool:
        """Whether the database's clock, `now` by a statement that began then, was set back since
        it was last heard. Then bounds ahead of it, or of what becomes due again, are dropped."""
        if self._clock is not None:
            heard, at = self._clock
            passed = timedelta(seconds=began - at)
            step = heard + passed - now
            if step > _LEAST_SETBACK + passed / 1000:
                await setback.advance(link, *self._key, step)
                self.low.reset()
                self._clock = None
                return True
        self._clock = now, boottime()
        return False

    def age_is_next(self) -> bool:
        """Whether what is claimed next goes by age, in a lane that claims few at a time."""
        by_age = self._aged >= 1
        self._aged -= by_age
        return by_age

    def count(self, rows: Sequence[Claimed]) -> None:
        """These were claimed: part of what follows goes by age."""
        self._aged = min(self._aged + len(rows) * self._scope.oldest_share, _AGED_MOST)

    async def _urgent(self, link: Connection, room: int, waiting: int) -> Drawn:
        """Although the lane is full: what is more urgent than all that waits in it."""
        got = None
        if waiting > PRIORITIES[0]:
            bounds = [
                bound if priority < waiting else NEVER
                for priority, bound in zip(PRIORITIES, self.low.bounds, strict=True)
            ]
            got = await self._claim(link, bounds, room)
        return Drawn(got.rows if got else (), self._scope.poll_seconds, True)

    async def _sweep(self, link: Connection, began: float, room: int) -> Drawn:
        """Claim from the beginning: finds what a low-water bound has passed over."""
        self.low.reset()
        drawn = await self.take(link, room)
        took = time.monotonic() - began
        self._next_sweep = began + max(self._scope.sweep_seconds, took / _SWEEP_SHARE)
        return drawn

    async def _by_age(self, link: Connection, room: int) -> list[Claimed]:
        wanted = min(int(self._aged), room)
        if not wanted:
            return []
        self._aged -= wanted
        got = await self._claim(link, self.low.bounds, wanted, claim.OLDEST)
        return got.rows if got else []

    async def _claim(
        self, link: Connection, bounds: Sequence[datetime], room: int, sql: str = claim.CLAIM
    ) -> Claim | None:
        if room < 1:
            return None
        return await claim.claim(link, *self._key, self._scope.worker_id, bounds, room, sql)
