"""A lane: one account's way from the queue to its relay.

Asks before each claim whether the account may send: is it there, paused, broken, at its
limits. Claims no more than it can send within about a second. Lanes share nothing that one of
them could exhaust: a database connection is held for the milliseconds of a claim, connections
to relays are each account's own.
"""

import asyncio
import time

import asyncpg

from mailproxy_server.dispatcher.claims import Claims, Drawn
from mailproxy_server.dispatcher.desk import Desk
from mailproxy_server.dispatcher.gate import Gate, Leave
from mailproxy_server.dispatcher.loading import Loading
from mailproxy_server.dispatcher.relays import Key, Route
from mailproxy_server.dispatcher.sending import Sent
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.policy.breaker import BLAMING, Sign
from mailproxy_server.policy.classify import classify
from mailproxy_server.queue import failover
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.hot import connection as borrowed

END_BATCH = 500
MOVE_BATCH = 500
_RETRY_SECONDS = 0.5
_GATHER_SECONDS = 0.008
"""Between two claims of a lane that has work in hand, so that one claim takes what came."""
_REST_SECONDS = 0.05
"""After a send that the account was to blame for; twice as long after each that follows it."""
_REST_MOST = 5.0


class Lane:
    """Claims for one account."""

    def __init__(self, key: Key, desk: Desk) -> None:
        self._key = key
        self._desk = desk
        self._gate = Gate(desk.share, desk.scope.poll_seconds)
        self._claims = Claims(key, desk.scope)
        self._limited = desk.limited(self._claims)
        self._loading = Loading(key, desk, self._done, self.wake)
        self._awake = asyncio.Event()
        self._generation = (0, 0)
        self._stopping = False
        self._more = False
        self._blamed = 0
        self._rest_until = 0.0
        self._leave = Leave(0.0, 1)

    def wake(self) -> None:
        """Something may be due."""
        self._awake.set()

    def changed(self) -> None:
        """The account, its health or its pause may be another."""
        self._gate.expire()
        self._loading.forget()
        self._awake.set()

    def stop(self) -> None:
        """Claim no more; run() returns after the claim that is under way."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Claim and send until stopped."""
        while not self._stopping:
            pause = await self._round()
            try:
                async with asyncio.timeout(pause):
                    await self._awake.wait()
            except TimeoutError:
                pass  # the next delivery is due, or it is time to poll
            if self._loading.held:
                await asyncio.sleep(_GATHER_SECONDS)
            self._awake.clear()

    async def drain(self, seconds: float) -> list[Claimed]:
        """After run() has returned: finish what is in flight, give what was not begun."""
        return await self._loading.drain(seconds)

    def settled(self, row: Claimed, *, final: bool) -> None:
        """A delivery's outcome is written; it is not ours any more, and may be due again."""
        self._loading.settled(row)
        if not final:
            self._awake.set()

    async def _round(self) -> float:
        """Claim what there is room for; give the seconds until there may be more to do.

        Nothing while outcomes that are known cannot be written, or while the lease is not renewed
        in time: what could be claimed could not be held.
        """
        if self._desk.settler.blocked or self._desk.late():
            return _RETRY_SECONDS
        try:
            route = await self._desk.relays.route(self._key)
            async with borrowed(self._desk.pool) as link:
                pause = await self._ordinary(link, route)
            if pause is None and route is not None:
                pause = await self._rationed(route)
            self._loading.sure()
            return pause or 0.0
        except Unavailable as error:
            return error.retry_after
        except asyncpg.PostgresError:
            return _RETRY_SECONDS

    async def _ordinary(self, link: Connection, route: Route | None) -> float | None:
        """Do what needs no reservation; None when the account is limited and may claim."""
        await self._tidy(link, route)
        if route is None:
            return await self._end_all(link, Reason.ACCOUNT_DELETED)
        leave = await self._look(link, route)
        if leave.wait > 0:
            return await self._wait(link, route, leave)
        await self._loading.carry(link, route, Drawn((), 0), leave.connections)
        rest = self._rest_until - time.monotonic()
        if rest > 0:
            return rest
        single = leave.probe or leave.gap > 0
        if self._loading.full or (single and self._loading.held):
            return self._desk.scope.poll_seconds  # who carries it wakes us
        if leave.probe and (pause := await self._before_probe(link, route)):
            return pause
        if leave.gap:
            self._rest_until = time.monotonic() + leave.gap
        self._leave = leave
        if route.account.limits:
            return None
        drawn = await self._draw(link, leave)
        self._more = drawn.more
        begun = await self._loading.carry(link, route, drawn, leave.connections)
        if leave.probe and not begun:
            self._gate.hear(())  # nothing was there to probe with: another may
        return 0.0 if self._has_room() else drawn.pause

    async def _draw(self, link: Connection, leave: Leave) -> Drawn:
        if leave.probe or leave.gap:
            return await self._claims.take(link, 1)
        loading = self._loading
        return await self._claims.fill(
            link, leave.connections, loading.held, loading.lowest_priority
        )

    async def _rationed(self, route: Route) -> float:
        """Claim and carry under limits; connections are opened while no other one is held."""
        leave = self._leave
        connections = 1 if leave.probe or leave.gap else leave.connections
        for transcript in await self._limited.warm(route, connections):
            self._gate.hear(classify(transcript, ("",)), transcript.trouble)
        async with borrowed(self._desk.pool) as link:
            most = self._loading.most(route.account)
            ration = await self._limited.fill(link, route, most)
            if ration.exhausted:
                if leave.probe and not ration.drawn.rows:
                    self._gate.hear(())
                return await self._exhausted(link, route, ration.drawn.pause)
            self._more = ration.drawn.more
            begun = await self._loading.carry(
                link, route, ration.drawn, connections, ration.reserved
            )
            if leave.probe and not begun:
                self._gate.hear(())
        return 0.0 if self._gate.pending or self._has_room() else ration.drawn.pause

    async def _tidy(self, link: Connection, route: Route | None) -> None:
        limited = route is not None and bool(route.account.limits)
        for row in await self._loading.tidy(link, limited=limited):
            self._claims.low.lower(row.priority, row.due_at)

    async def _look(self, link: Connection, route: Route) -> Leave:
        """Ask whether the account may send, and over how many connections."""
        if self._gate.pending and await self._gate.tell(link, route.account):
            self._desk.changed(self._key)
        leave = await self._gate.look(link, route.account)
        generation = (route.account.generation, leave.generation)
        if generation != self._generation:
            self._generation = generation
            self._claims.low.reset()
            self._loading.unload()  # it was claimed under other rules
            await self._tidy(link, route)
        route.pool.resize(leave.connections)
        return leave

    async def _before_probe(self, link: Connection, route: Route) -> float:
        """Take the probe when there is something to probe with; else give how long to wait."""
        pause = await self._claims.until_due(link)
        if pause or await self._gate.take_probe(link, route.account):
            return pause
        return _RETRY_SECONDS

    async def _wait(self, link: Connection, route: Route, leave: Leave) -> float:
        """The account may not send: hand back what was not begun, and move what may move."""
        self._loading.unload()
        await self._tidy(link, route)
        if not leave.paused and await self._fail_over(link, route):
            return 0.0
        return leave.wait

    async def _exhausted(self, link: Connection, route: Route, pause: float) -> float:
        """The limits have no room: what is due is refused, moves to a fallback, or waits."""
        if route.account.limit_behavior == "reject":
            return await self._end_all(link, Reason.RATE_LIMITED)
        self._desk.recording.limited(self._key)
        return 0.0 if await self._fail_over(link, route) else pause

    async def _fail_over(self, link: Connection, route: Route) -> bool:
        """Move what has waited for too long to the account's fallbacks; give whether any did."""
        account = route.account
        if not account.fallback_account_ids:
            return False
        patience = account.failover_patience_seconds
        return bool(await failover.move(link, *self._key, patience, MOVE_BATCH))

    async def _end_all(self, link: Connection, reason: Reason) -> float:
        """Fail what is due: the account is gone, or its limits refuse it."""
        drawn = await self._claims.take(link, END_BATCH)
        ended = self._loading.end(drawn.rows, Outcome.failed(reason))
        return 0.0 if ended else drawn.pause

    def _done(self, sent: Sent) -> None:
        self._claims.pace.done(sent.deliveries)
        self._desk.recording.attempted(sent)
        sign = self._gate.hear(sent.verdicts, sent.detail)
        if sign in BLAMING:
            self._blamed += 1
            rest = min(_REST_SECONDS * 2**self._blamed, _REST_MOST)
            self._rest_until = time.monotonic() + rest
        elif sign is Sign.LIFE:
            self._blamed = 0
        if self._gate.pending or sent.returned or self._has_room():
            self._awake.set()

    def _has_room(self) -> bool:
        """Whether there is more to claim, and room for it: what was claimed may have been sent,
        or be waiting for its files."""
        return self._more and self._loading.held * 2 <= self._claims.target
