"""The claim of an account with limits: no more than its windows have room for, and that reserved.

One transaction: lock what the account, or its group, has used; ask the clock; claim; write the
reservation. The reservation and the claim are committed together or not at all. A process that
stops in it loses lock, claim and connection after `reserve.LOCK_SECONDS`.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from mailproxy_server.accounts.account import Account
from mailproxy_server.dispatcher.clock import boottime
from mailproxy_server.policy import windows
from mailproxy_server.policy.steady import Look
from mailproxy_server.policy.usage import SECOND, Usage
from mailproxy_server.policy.windows import Room
from mailproxy_server.queue import claim, reserve
from mailproxy_server.queue.claim import Claim, Claimed
from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.rest import rest
from mailproxy_server.queue.unavailable import unavailable

_DRIFT = 0.001
"""Two clocks differ by less in rate: NTP slews either by 500 ppm at most."""
_CLAIMS = 3
"""At most, in one transaction."""

Write = Callable[[Connection, UUID, str, Usage], Awaitable[None]]
"""`reserve.write`, or one that writes nothing in tests that show what it is good for."""
Looked = Callable[[Usage, Look], Usage]
"""`windows.looked`, or one that takes no note in tests that show what it is good for."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room in the limits for what was claimed with it: MAIL may leave until it is late.

    `clock` is the database's time when it was made. `base` is CLOCK_BOOTTIME from before that was
    asked, so that we take ourselves for later than we are: what we were stopped for, or the
    machine slept, counts.
    """

    clock: datetime
    base: float
    hold: float

    def late(self, now: float) -> bool:
        """Whether MAIL may no longer leave at `now` (CLOCK_BOOTTIME, seconds)."""
        return (now - self.base) * (1 + _DRIFT) > self.hold

    def at(self, instant: float) -> datetime:
        """Give an instant of CLOCK_BOOTTIME by the database's clock."""
        return self.clock + timedelta(seconds=instant - self.base)


@dataclass(frozen=True, slots=True)
class Rated:
    """What a claim under limits brought.

    `claim` and `reservation` are both there or neither: then there was no room (`room.opens_at`
    says until when), or nothing was due. The claim's last row is how far everything was taken,
    and `parcels` are the transactions that it makes. `room` is from before it, `now` the
    database's time then.
    """

    claim: Claim | None
    reservation: Reservation | None
    room: Room
    now: datetime
    parcels: int = 0


async def claim_within(
    link: Connection,
    account: Account,
    worker_id: UUID,
    bounds: Sequence[datetime],
    rows: int,
    ready: int,
    *,
    statement: str = claim.CLAIM,
    write: Write = reserve.write,
    looked: Looked = windows.looked,
) -> Rated:
    """Claim at most `rows` deliveries that make at most `ready` parcels, both at least 1.

    Raises `Unavailable` when the database was so slow that the reservation is late already;
    nothing is claimed then, nor when it raises asyncpg's errors, as after LOCK_SECONDS of
    silence. Locks the rate row, then the rows it takes; waits for nobody after the first.
    """
    key = account.tenant_id, account.rate_key
    async with link.transaction(isolation="read_committed"):
        kept = await reserve.lock(link, *key)
        base = boottime()
        now = await reserve.clock(link)
        usage = looked(kept, _look(base, now))
        room = windows.room(usage, account.limits, now)
        most = _least(rows, room.recipients), _least(ready, room.messages)
        draw = _Draw(link, account, worker_id, bounds, statement, *most)
        got = await draw.all() if room.opens_at is None else None
        if got is None:
            if _is_news(kept, usage):
                await write(link, *key, usage)
            return Rated(None, None, room, now)
        parcels = transactions(got.rows, account.max_recipients_per_transaction)
        usage = windows.reserve(
            usage, account.limits, now, recipients=len(got.rows), messages=parcels
        )
        await write(link, *key, usage)
        reservation = Reservation(now, base, windows.hold(account.limits))
        if reservation.late(boottime()):
            raise unavailable()
    return Rated(got, reservation, room, now, parcels)


@dataclass(frozen=True, slots=True)
class _Draw:
    """The claims of one transaction: of at most `rows` that make at most `parcels`."""

    link: Connection
    account: Account
    worker_id: UUID
    bounds: Sequence[datetime]
    statement: str
    rows: int
    parcels: int

    async def all(self) -> Claim | None:
        """Claim as many rows as there are parcels left to fill, as a row makes one at most; and
        again, where recipients share some. None when nothing is due."""
        taken: list[Claimed] = []
        now = None
        for _ in range(_CLAIMS):
            made = transactions(taken, self.account.max_recipients_per_transaction)
            wanted = min(self.rows - len(taken), self.parcels - made)
            got = await self._claim(wanted)
            if got is None:
                break
            now = got.now
            taken += got.rows
            if len(got.rows) < wanted:
                break
            taken += await self._rest(taken, got.rows[-1])
        return Claim(sorted(taken, key=_order), now) if now else None

    async def _claim(self, wanted: int) -> Claim | None:
        if wanted < 1:
            return None
        return await claim.claim(
            self.link,
            self.account.tenant_id,
            self.account.account_id,
            self.worker_id,
            self.bounds,
            wanted,
            self.statement,
        )

    async def _rest(self, taken: Sequence[Claimed], last: Claimed) -> list[Claimed]:
        """Claim the message of the last row whole, as far as rows and parcels permit: or each of
        its recipients could come to cost a transaction."""
        most = self.account.max_recipients_per_transaction
        free = self.parcels - transactions(taken, most)
        mine = sum(_shared(row) == _shared(last) for row in taken)
        limit = min(self.rows - len(taken), free * most + -mine % most)
        return await rest(self.link, self.worker_id, last, limit) if limit else []


def transactions(rows: Iterable[Claimed], most: int) -> int:
    """Count the parcels of at most `most` recipients that `parcels.pack` makes of these."""
    return sum(-(-count // most) for count in Counter(map(_shared, rows)).values())


def _look(base: float, now: datetime) -> Look:
    began, ended = round(base * SECOND), round(boottime() * SECOND)
    return Look(machine(), began, ended - began, windows.micro(now))


def _is_news(kept: Usage, looked: Usage) -> bool:
    """Whether a look is to be kept although nothing may be reserved: a step was made good, or
    there is more to compare with at the next one."""
    before, after = kept.steady, looked.steady
    return before.offset != after.offset or before.seen.keys() != after.seen.keys()


@functools.cache
def machine() -> int:
    """Name this boot of this machine, and the time namespace: CLOCK_BOOTTIME is theirs alone.

    A process that cannot tell has a name of its own.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        name = f"{boot}/{Path('/proc/self/ns/time').readlink()}"
    except OSError:
        name = str(uuid4())
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) + 1


def _shared(row: Claimed) -> tuple[object, ...]:
    """Give what the recipients of one parcel have in common."""
    return row.message_id, row.expire_at, row.round_at


def _order(row: Claimed) -> tuple[int, datetime, int, int]:
    return row.priority, row.due_at, row.message_id.int, row.recipient_no


def _least(wanted: int, left: int | None) -> int:
    return wanted if left is None else min(wanted, left)
