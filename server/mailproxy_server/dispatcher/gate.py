"""The gate of a lane: whether the account may send now, and over how many connections.

Reads what all replicas know (pause, breaker, throttle), and adds what this one hears from the
relay. `policy.breaker` and `policy.throttle` decide; this remembers and writes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from mailproxy_server.accounts.account import Account
from mailproxy_server.dispatcher.hearsay import Heard, Hearsay, Said
from mailproxy_server.policy import breaker, throttle
from mailproxy_server.policy.breaker import Sign
from mailproxy_server.policy.classify import Verdict
from mailproxy_server.policy.throttle import Throttle
from mailproxy_server.queue import health, probes
from mailproxy_server.queue.health import Cause, Health
from mailproxy_server.queue.hot import Connection

PROBE_SECONDS = 120.0
"""How long a probe is left to the one who took it, unless he looks again meanwhile."""


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
        self._hearsay = Hearsay()
        self._probe: datetime | None = None
        self._closed = False

    @property
    def pending(self) -> bool:
        """Whether `tell` has something to write, or to be told of."""
        return self._closed or self._hearsay.pending

    def expire(self) -> None:
        """Look again before the next claim."""
        self._health = None

    def hear(self, verdicts: Sequence[Verdict], detail: str = "") -> Sign:
        """Take in what an attempt came to; give what it says of the account.

        Without verdicts: nothing was tried, and a probe taken for it is given back. `detail`
        are our own words about a fault.
        """
        return self._hearsay.hear(verdicts, detail)

    async def look(self, link: Connection, account: Account) -> Leave:
        """Say whether the account may send. A changed account closes its breaker."""
        self._hearsay.revision(account.revision)
        now = time.monotonic()
        if self._health is None or now - self._read_at > self._ttl:
            self._health = await self._refresh(link, account)
            self._read_at = now
        found = self._health
        slowed = Throttle(found.connections, found.gap_seconds)
        most = min(slowed.connections or account.max_connections, account.max_connections)
        connections = max(1, int(most * self._share))
        leave = Leave(0.0, connections, gap=slowed.gap, generation=found.generation)
        if found.paused_at is not None:
            return replace(leave, wait=self._ttl, paused=True)
        if found.kind is None or found.probe_at is None:
            return leave
        wait = (found.probe_at - found.now).total_seconds() - (now - self._read_at)
        if wait > 0:
            return replace(leave, wait=min(wait, self._ttl))
        return replace(leave, connections=1, probe=True)

    async def take_probe(self, link: Connection, account: Account) -> bool:
        """Take the right to let one message through an open breaker; no replica has it beside.

        Only while nothing else is under way: what is heard next is what came of it.
        """
        self._probe = await probes.take(link, *_key(account), PROBE_SECONDS)
        self._hearsay.probing = self._probe is not None
        self.expire()
        return self._hearsay.probing

    async def tell(self, link: Connection, account: Account) -> bool:
        """Write what was heard; give whether it changed how the account fares."""
        self._hearsay.revision(account.revision)
        heard = self._hearsay.take()
        try:
            changed = await self._write(link, account, heard)
        except BaseException:
            self._hearsay.put_back(heard)
            raise
        changed, self._closed = changed or self._closed, False
        self.expire()
        return changed

    async def _write(self, link: Connection, account: Account, heard: Heard) -> bool:
        found = await self._read(link, account)
        changed = False
        if heard.result is not None and found.kind is not None:
            changed = await self._end_probe(link, account, found, heard.result)
        elif heard.trouble is not None:
            changed = await self._open(link, account, found, heard.trouble)
        if heard.throttled:
            before = Throttle(found.connections, found.gap_seconds)
            after = before.slower(account.max_connections)
            changed |= await _set(link, account, before, after, throttle.SETTLE_SECONDS)
        return changed

    async def _open(self, link: Connection, account: Account, found: Health, said: Said) -> bool:
        """Open the breaker, or give one that faults opened its graver cause."""
        first = breaker.wait(said.sign, 0)
        if found.kind is None and await health.open_breaker(
            link, *_key(account), _cause(said), first, account.revision
        ):
            return True
        graver = said.sign is not Sign.FAULT
        return graver and await health.accuse(link, *_key(account), _cause(said), first)

    async def _end_probe(
        self, link: Connection, account: Account, found: Health, said: Said
    ) -> bool:
        probe, opened_by = self._probe, Sign(str(found.kind))
        if breaker.closes(opened_by, said.sign, said.verdict):
            return await health.close_breaker(link, *_key(account))
        if probe is None:
            return False
        if breaker.unspent(said.sign, said.verdict):
            await probes.give_back(link, *_key(account), probe)
        elif said.sign in breaker.PROBING:
            anew = breaker.displaces(opened_by, said.sign)
            wait = breaker.wait(said.sign if anew else opened_by, found.probes + 1)
            cause = _cause(said) if anew else None
            return await probes.failed(link, *_key(account), probe, cause, wait)
        return False

    async def _refresh(self, link: Connection, account: Account) -> Health:
        """Read how the account fares, after what comes of time alone was done."""
        if self._hearsay.probing and self._probe is not None:
            self._probe = await probes.renew(link, *_key(account), self._probe, PROBE_SECONDS)
        found = await self._read(link, account)
        if found.throttled_at is None or found.connections is None:
            return found
        calm = (found.now - found.throttled_at).total_seconds()
        if calm < throttle.CLEAN_SECONDS:
            return found
        before = Throttle(found.connections, found.gap_seconds)
        after = before.faster(account.max_connections)
        await _set(link, account, before, after, throttle.CLEAN_SECONDS)
        return await self._read(link, account)

    async def _read(self, link: Connection, account: Account) -> Health:
        """Read how the account fares; a breaker that an older revision opened is closed."""
        (found,) = await health.read(link, account.tenant_id, [account.account_id])
        if found.kind is not None and (found.account_revision or 0) < account.revision:
            self._closed |= await health.close_breaker(link, *_key(account), account.revision)
            (found,) = await health.read(link, account.tenant_id, [account.account_id])
        self._hearsay.generation(found.generation)
        return found


def _key(account: Account) -> tuple[UUID, str]:
    return account.tenant_id, account.account_id


def _cause(said: Said) -> Cause:
    assert said.verdict is not None, "without a verdict nobody is blamed"
    verdict = said.verdict
    reason = int(verdict.reason)
    return Cause(said.sign.value, reason, verdict.reply, verdict.stage, said.detail)


async def _set(
    link: Connection, account: Account, before: Throttle, after: Throttle, quiet: float
) -> bool:
    pairs = (before.connections, before.gap), (after.connections, after.gap)
    return await health.set_throttle(link, *_key(account), *pairs, quiet)
