"""Claims of an account with limits: no more than the windows have room for, and than can leave.

Room is reserved for connections that are open already, since a reservation that is not used
in time is lost. So connections are opened first, one and then twice as many each time that
all of them were of use.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from mailproxy_server.accounts.account import Account
from mailproxy_server.dispatcher.claims import Claims, Drawn
from mailproxy_server.dispatcher.clock import boottime
from mailproxy_server.dispatcher.permit import Reserved
from mailproxy_server.dispatcher.rated import Rated, claim_within
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.mail.transcript import Transcript
from mailproxy_server.queue.claim import CLAIM, OLDEST
from mailproxy_server.queue.hot import Connection

CAPTURED_AT_ONCE = 100
"""Deliveries claimed at once by an account in capture mode, which needs no connections."""
_LEAST_PAUSE = 0.001


class ClaimWithin(Protocol):
    """`rated.claim_within`, or another one in tests that show what the reservation is good for."""

    async def __call__(
        self,
        link: Connection,
        account: Account,
        worker_id: UUID,
        bounds: Sequence[datetime],
        rows: int,
        ready: int,
        *,
        statement: str,
    ) -> Rated:
        """Claim within the limits."""
        ...


@dataclass(frozen=True, slots=True)
class Ration:
    """What a claim under limits brought. `exhausted`: the windows had no room at all."""

    drawn: Drawn
    reserved: Reserved | None = None
    exhausted: bool = False


class Limited:
    """The limited claims of one lane."""

    def __init__(self, claims: Claims, worker_id: UUID, claim: ClaimWithin = claim_within) -> None:
        self._claims = claims
        self._worker_id = worker_id
        self._claim = claim
        self._wanted = 1

    async def warm(self, route: Route, connections: int) -> list[Transcript]:
        """Open the connections that a claim may count on; give the transcripts of failures."""
        if route.account.capture:
            return []
        most = min(limit.count for limit in route.account.limits)
        self._wanted = max(min(self._wanted, connections, most), 1)
        return await route.pool.warm(self._wanted - route.pool.facts.busy)

    async def fill(self, link: Connection, route: Route, most: int) -> Ration:
        """Claim what may leave at once, with at most `most` recipients in a transaction."""
        ready = CAPTURED_AT_ONCE if route.account.capture else route.pool.facts.idle
        if not ready:
            return Ration(Drawn((), self._claims.poll_seconds, more=True))
        account = replace(route.account, max_recipients_per_transaction=most)
        by_age, began = self._claims.age_is_next(), boottime()
        rated = await self._claim(
            link,
            account,
            self._worker_id,
            self._claims.low.bounds,
            ready * most,
            ready,
            statement=OLDEST if by_age else CLAIM,
        )
        if rated.claim is None:
            return await self._nothing(link, rated)
        rows = rated.claim.rows
        self._claims.count(rows)
        if rated.parcels == ready:
            self._wanted *= 2
        if not by_age:
            await self._claims.filled(link, rated.claim, began)
        ids = frozenset(row.message_id for row in rows) if by_age else frozenset()
        drawn = Drawn(rows, self._claims.poll_seconds, more=True, by_age=ids)
        return Ration(drawn, rated.reservation)

    async def _nothing(self, link: Connection, rated: Rated) -> Ration:
        """Nothing was claimed: there is no room, or nothing is due."""
        pause = await self._claims.until_due(link)
        opens_at = rated.room.opens_at
        if opens_at is None or pause > 0:
            return Ration(Drawn((), pause))
        pause = max((opens_at - rated.now).total_seconds(), _LEAST_PAUSE)
        return Ration(Drawn((), min(pause, self._claims.poll_seconds)), exhausted=True)
