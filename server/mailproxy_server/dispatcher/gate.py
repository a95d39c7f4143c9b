"""The gate of a lane: whether the account may send now, and over how many connections.

Reads what all replicas know (pause, breaker, throttle), and adds what this one hears from the
relay. `policy.breaker` and `policy.throttle` decide; this remembers and writes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailproxy_server.accounts.account import Account
from mailproxy_server.policy import breaker, throttle
from mailproxy_server.policy.breaker import Sign
from mailproxy_server.policy.classify import Verdict
from mailproxy_server.policy.throttle import Throttle
from mailproxy_server.queue import health
from mailproxy_server.queue.health import Cause, Health
from mailproxy_server.queue.hot import Connection

PROBE_SECONDS = 120.0
"""How long a probe is left to the one who took it."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Whether the lane may claim: at once where `wait` (seconds) is 0.

    `probe`: one message, once `take_probe` was won. `gap` is in seconds between two messages.
    `generation` rises when what waited may go.
    """

    wait: float
    connections: int
    paused: bool = False
    probe: bool = False
    gap: float = 0.0
    generation: int = 0


class Gate:
    """The gate of one account. It looks again after `ttl` seconds, since hints may be lost.

    `share` is the part of the account's connections that this dispatcher may take.
    """

    def __init__(self, share: float, ttl: float) -> None:
        self._share = share
        self._ttl = ttl
        self._health: Health | None = None
        self._read_at = 0.0
        self._faults = 0
        self._probing = False
        self._trouble: tuple[Sign, Verdict] | None = None
        self._alive = False
        self._throttled = False

    @property
    def pending(self) -> bool:
        """Whether something was heard that `tell` has to write."""
        return self._trouble is not None or self._throttled or self._alive

    def expire(self) -> None:
        """Look again before the next claim."""
        self._health = None

    def hear(self, verdicts: Sequence[Verdict]) -> Sign:
        """Take in what an attempt came to; give what it says of the account."""
        sign, verdict = breaker.decisive(verdicts)
        if sign is Sign.LIFE:
            self._faults = 0
            self._alive = self._probing
        elif sign is Sign.THROTTLE:
            self._throttled = True
            self._alive = self._probing
        elif sign is not Sign.NONE and verdict is not None:
            self._faults += 1
            if sign is not Sign.FAULT or self._probing or self._faults >= breaker.FAULTS_TO_OPEN:
                self._trouble = (sign, verdict)
        return sign

    async def look(self, link: Connection, account: Account) -> Leave:
        """Say whether the account may send. A changed account closes its breaker."""
        now = time.monotonic()
        if self._health is None or now - self._read_at > self._ttl:
            self._health = await self._read(link, account)
            self._read_at = now
        found = self._health
        slowed = Throttle(found.connections, found.gap_seconds)
        most = min(slowed.connections or account.max_connections, account.max_connections)
        leave = Leave(
            0.0,
            max(1, int(most * self._share)),
            gap=slowed.gap,
            generation=found.generation,
        )
        if found.paused_at is not None:
            return replace(leave, wait=self._ttl, paused=True)
        if found.kind is None or found.probe_at is None:
            return leave
        wait = (found.probe_at - found.now).total_seconds() - (now - self._read_at)
        if wait > 0:
            return replace(leave, wait=min(wait, self._ttl))
        return replace(leave, connections=1, probe=True)

    async def take_probe(self, link: Connection, account: Account) -> bool:
        """Take the right to let one message through an open breaker; no replica has it beside."""
        key = account.tenant_id, account.account_id
        self._probing = await health.take_probe(link, *key, PROBE_SECONDS)
        self.expire()
        return self._probing

    async def tell(self, link: Connection, account: Account) -> bool:
        """Write what was heard; give whether it changed how the account fares."""
        found = await self._read(link, account)
        changed = False
        if self._trouble is not None:
            changed = await self._tell_trouble(link, account, found, *self._trouble)
        elif self._alive:
            changed = await health.close_breaker(link, account.tenant_id, account.account_id)
        if self._throttled:
            before = Throttle(found.connections, found.gap_seconds)
            after = before.slower(account.max_connections)
            changed |= await _set(link, account, before, after, throttle.SETTLE_SECONDS)
        self._trouble, self._alive, self._throttled, self._probing = None, False, False, False
        self.expire()
        return changed

    async def _tell_trouble(
        self, link: Connection, account: Account, found: Health, sign: Sign, verdict: Verdict
    ) -> bool:
        key = account.tenant_id, account.account_id
        cause = Cause(sign.value, int(verdict.reason), verdict.reply, verdict.stage)
        if found.kind is None:
            self._faults = 0
            first = breaker.wait(sign, 0)
            return await health.open_breaker(link, *key, cause, first, account.revision)
        if self._probing:
            next_wait = breaker.wait(sign, found.probes + 1)
            await health.probe_failed(link, *key, cause, next_wait)
        return self._probing

    async def _read(self, link: Connection, account: Account) -> Health:
        """Read how the account fares, after what follows from it by itself was done."""
        key = account.tenant_id, account.account_id
        (found,) = await health.read(link, account.tenant_id, [account.account_id])
        if found.kind is not None and found.account_revision != account.revision:
            await health.close_breaker(link, *key)
            (found,) = await health.read(link, account.tenant_id, [account.account_id])
        if found.throttled_at is None or found.connections is None:
            return found
        calm = (found.now - found.throttled_at).total_seconds()
        if calm < throttle.CLEAN_SECONDS or self._throttled:
            return found
        before = Throttle(found.connections, found.gap_seconds)
        await _set(link, account, before, before.faster(account.max_connections), calm)
        (found,) = await health.read(link, account.tenant_id, [account.account_id])
        return found


async def _set(
    link: Connection, account: Account, before: Throttle, after: Throttle, quiet: float
) -> bool:
    return await health.set_throttle(
        link,
        account.tenant_id,
        account.account_id,
        (before.connections, before.gap),
        (after.connections, after.gap),
        quiet,
    )
