"""From claimed deliveries to the crew that sends them: held, read, packed, handed over.

Whatever is claimed passes here, so that nothing is forgotten and nothing is sent twice: also
what a lost answer left claimed, what is given back, and what was withdrawn meanwhile.
"""

from collections.abc import Callable, Sequence

from mailproxy_server.accounts.account import Account
from mailproxy_server.dispatcher import sending
from mailproxy_server.dispatcher.claims import Drawn
from mailproxy_server.dispatcher.crew import Crew
from mailproxy_server.dispatcher.desk import Desk
from mailproxy_server.dispatcher.fetching import Fetching
from mailproxy_server.dispatcher.holding import Holding
from mailproxy_server.dispatcher.parcels import pack
from mailproxy_server.dispatcher.permit import Reserved
from mailproxy_server.dispatcher.relays import Key, Route
from mailproxy_server.dispatcher.sending import Sent
from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.policy.classify import fewer
from mailproxy_server.queue import claim, contents
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.hot import Connection

MANY = 1_000_000
SMALL_OCTETS = 16 * 1024
"""Contents up to this are read with the claim; larger ones when their turn has come."""


APART_MOST = 5000
"""Deliveries of one lane that wait for their files at once; it claims nothing beyond them."""


class Loading:
    """The deliveries that one lane holds, and its crew.

    `done` is told what came of a parcel, `back` that something waits no more for its files.
    """

    def __init__(
        self, key: Key, desk: Desk, done: Callable[[Sent], None], back: Callable[[], None]
    ) -> None:
        self._key = key
        self._desk = desk
        self._told = done
        self._holding = Holding()
        self._back = back
        self._crew = Crew(
            desk.pool, desk.scope.worker_id, desk.lease, desk.shelf, self._done, desk.bug
        )
        self._fetching = Fetching(desk.files, self._fetched, desk.bug)
        self._fewer: int | None = None
        self._in_doubt = False

    @property
    def held(self) -> int:
        """Deliveries that wait for their attempt or are in it."""
        return self._holding.count

    @property
    def full(self) -> bool:
        """Whether as many wait for their files as may."""
        return self._holding.apart >= APART_MOST

    @property
    def lowest_priority(self) -> int:
        """The priority of the least urgent parcel that was not begun; 0 when none waits."""
        return self._crew.lowest_priority

    def most(self, account: Account) -> int:
        """Give how many recipients one transaction may have: what the relay was seen to take."""
        return min(self._fewer or MANY, account.max_recipients_per_transaction)

    async def tidy(self, link: Connection, *, limited: bool) -> list[Claimed]:
        """Make up for a lost answer, and release what was not tried; give what was released.

        Of a limited account that is also what was claimed and not handed over: the room reserved
        for it is lost. From here on a claim's answer may be lost, until `sure`.
        """
        worker_id, holding = self._desk.scope.worker_id, self._holding
        if self._in_doubt:
            holding.take(await claim.mine(link, *self._key, worker_id))
        self._in_doubt = True
        if limited:
            holding.give_back(holding.read())
        returned = list(holding.returned)
        if returned:
            await claim.release(link, worker_id, returned)
            holding.released(returned)
        return returned

    def sure(self) -> None:
        """All that was claimed is known."""
        self._in_doubt = False

    async def carry(
        self,
        link: Connection,
        route: Route,
        drawn: Drawn,
        connections: int,
        reserved: Reserved | None = None,
    ) -> bool:
        """Read what the claimed ones hold and hand them to the crew; give whether any were.

        Those whose files are not here are set apart first.
        """
        self._holding.take(drawn.rows)
        if not self._holding.unread:
            return False
        ids = {row.message_id for row in self._holding.unread}
        texts = await contents.read(link, self._key[0], list(ids), SMALL_OCTETS)
        rows = self._holding.read()
        if withdrawn := [row for row in rows if row.cancel_requested]:
            self._done(sending.ended(withdrawn, Outcome.cancelled()))
            rows = [row for row in rows if not row.cancel_requested]
        parcels = list(pack(rows, texts, self.most(route.account), drawn.by_age, reserved))
        ready = [parcel for parcel in parcels if parcel.content.complete]
        if len(ready) < len(parcels):
            for parcel in parcels:
                if not parcel.content.complete:
                    self._holding.set_apart(len(parcel.claimed))
                    self._fetching.begin(parcel, route)
        self._crew.carry(ready, route, connections)
        return bool(ready or withdrawn)

    def end(self, rows: Sequence[Claimed], outcome: Outcome) -> int:
        """End these, and what else has not been read yet, without an attempt; give how many."""
        self._holding.take(rows)
        ending = self._holding.read()
        if ending:
            self._done(sending.ended(ending, outcome))
        return len(ending)

    def unload(self) -> None:
        """Give back what was not begun."""
        self._holding.give_back(self._holding.read() + self._crew.reclaim())

    def forget(self) -> None:
        """The account may be another: learn anew how many recipients its relay takes."""
        self._fewer = None

    def settled(self, row: Claimed) -> None:
        """Its outcome is written; it is not ours any more."""
        self._holding.settled(row)

    async def drain(self, seconds: float) -> list[Claimed]:
        """Let sends in flight finish within `seconds`; give what was not begun."""
        waiting = await self._fetching.drain()
        unsent = await self._crew.drain(seconds)
        return self._holding.returned + self._holding.unread + waiting + unsent

    def _fetched(self, rows: Sequence[Claimed], sent: Sent) -> None:
        """Their files are here or cannot be had. Of the account's relay it says nothing."""
        self._holding.set_apart(-len(rows))
        self._account_for(sent)
        self._back()

    def _done(self, sent: Sent) -> None:
        self._account_for(sent)
        self._fewer = fewer(sent.verdicts) or self._fewer
        self._told(sent)

    def _account_for(self, sent: Sent) -> None:
        self._holding.attempted(len(sent.settlements))
        self._holding.give_back(sent.returned)
        self._desk.settler.add(sent.settlements)
