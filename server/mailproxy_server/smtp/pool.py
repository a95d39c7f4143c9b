"""The connections to one account's relay: takes a message, gives the transcript of its attempt.

`lineup` decides; this acts. A connection is busy with one transaction or at rest. One that
the relay closed while it rested costs no attempt: the transaction begins anew on a fresh
connection, once, as nothing was handed over.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass

from mailproxy_server.mail.envelope import Envelope
from mailproxy_server.mail.transcript import Exchange, Transcript
from mailproxy_server.smtp.body import Body, size_of
from mailproxy_server.smtp.commands import Needs, plan
from mailproxy_server.smtp.connect import Dial, Opening
from mailproxy_server.smtp.lineup import Lineup, PoolFacts
from mailproxy_server.smtp.oauth import Renewed, TokenSource, forget
from mailproxy_server.smtp.relay import Relay, Timeouts
from mailproxy_server.smtp.session import Session
from mailproxy_server.smtp.transaction import Permit, Transaction
from mailproxy_server.smtp.trust import Trust
from mailproxy_server.smtp.verify import Verified, verify


@dataclass(frozen=True, slots=True)
class _Message:
    envelope: Envelope
    content: bytes | Body
    needs: Needs
    permit: Permit
    started: float


@dataclass(slots=True)
class _Place:
    """The right to one connection: with one that rested (`ask` it first?), or to open one."""

    session: Session | None = None
    ask: bool = False


class Pool:
    """Opens connections as they are needed, at most `relay.max_connections` at a time.

    `renewed` is told of refresh tokens that take the place of the relay's.
    """

    def __init__(
        self,
        relay: Relay,
        timeouts: Timeouts | None = None,
        renewed: Renewed = forget,
        dial: Dial | None = None,
    ):
        self.relay = relay
        self._timeouts = timeouts or Timeouts()
        self._lineup: Lineup[Session] = Lineup(relay.max_connections, relay.idle_ttl)
        self._turns: deque[asyncio.Future[_Place]] = deque()
        self._leaving: set[asyncio.Task[None]] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._trust = Trust(relay)
        self._tokens = TokenSource(relay.oauth, renewed) if relay.oauth else None
        self._dial = dial
        self._opened = 0
        self._closed = False

    @property
    def facts(self) -> PoolFacts:
        """What it holds."""
        resting = self._lineup.resting
        busy = self._lineup.busy
        return PoolFacts(busy + resting, busy, resting, self._opened)

    async def send(
        self,
        envelope: Envelope,
        content: bytes | Body,
        *,
        eight_bit: bool,
        utf8_headers: bool,
        envelope_id: str,
        permit: Permit,
    ) -> Transcript:
        """Run one transaction; waits for a turn when all connections are busy.

        `content` has CRLF line ends and is not dot-stuffed. Never raises for what a relay
        does. Cancelled, it cuts the connection: what became of the message is not known.
        """
        started = asyncio.get_running_loop().time()
        needs = Needs(size_of(content), eight_bit, utf8_headers, envelope_id)
        place = await self._take()
        try:
            return await self._attempt(place, _Message(envelope, content, needs, permit, started))
        finally:
            self._free(place)

    async def warm(self, wanted: int) -> list[Transcript]:
        """Open connections until `wanted` are at rest, or as many as there may be.

        Gives the transcripts of those that failed.
        """
        opening = [self._warm_one() for _ in range(self._lineup.open(wanted))]
        return [failed for failed in await asyncio.gather(*opening) if failed is not None]

    def resize(self, connections: int) -> None:
        """Have at most `connections` from now on; busy ones finish first. Repeatable."""
        self._dismiss(self._lineup.resize(min(connections, self.relay.max_connections)))

    async def verify(self) -> Verified:
        """Try the relay by a connection of its own, beside those of the pool."""
        trust = await self._trust.context()
        return await verify(self.relay, self._timeouts, trust, self._tokens, self._dial)

    async def close(self) -> None:
        """Take leave of all connections at rest, no longer than QUIT may take; busy ones are
        closed as they finish. Nothing may be sent afterwards."""
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        self._dismiss(self._lineup.clear())
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _attempt(self, place: _Place, message: _Message) -> Transcript:
        session = place.session
        if session is not None and (not place.ask or await session.check()):
            transaction = await self._run(session, message)
            if not transaction.unheard:
                return self._transcript(transaction.exchanges, transaction.mail_sent_ms)
        if session is not None:
            session.abort()
        opening = await self._open(place, message.started)
        session = place.session
        if session is None:
            return self._transcript(opening.exchanges)
        transaction = await self._run(session, message)
        return self._transcript(opening.exchanges + transaction.exchanges, transaction.mail_sent_ms)

    async def _open(self, place: _Place, started: float) -> Opening:
        """Open a connection at this place; it has none afterwards where that failed."""
        place.session = None
        opening = Opening(self.relay, self._timeouts, started, self._tokens, self._dial)
        place.session = await opening.run(await self._trust.context())
        self._opened += place.session is not None
        return opening

    async def _warm_one(self) -> Transcript | None:
        place = _Place()
        try:
            opening = await self._open(place, asyncio.get_running_loop().time())
        finally:
            self._free(place)
        return self._transcript(opening.exchanges) if place.session is None else None

    async def _run(self, session: Session, message: _Message) -> Transaction:
        steps = plan(message.envelope, message.needs, session.offer)
        transaction = Transaction(session, steps, message.started)
        pipelined = self.relay.pipelining and session.offer.pipelining
        try:
            await transaction.run(message.content, message.permit, pipelined=pipelined)
        except BaseException:
            session.abort()
            raise
        return transaction

    def _transcript(self, exchanges: list[Exchange], mail_sent_ms: int | None = None) -> Transcript:
        return Transcript(self.relay.name, tuple(exchanges), mail_sent_ms)

    async def _take(self) -> _Place:
        if self._closed:
            raise RuntimeError("the pool is closed")
        decision = self._lineup.take(asyncio.get_running_loop().time())
        self._dismiss(decision.close)
        if decision.wait:
            return await self._turn()
        return _Place(decision.use, decision.ask)

    async def _turn(self) -> _Place:
        turn: asyncio.Future[_Place] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free(turn.result())
            raise

    def _free(self, place: _Place) -> None:
        """Hand the place on to who waits longest, or put its connection to rest."""
        session = place.session
        if session is not None and not session.usable:
            session.abort()
            session = None
        elif session is not None and (
            self._closed or self._lineup.crowded or self._used_up(session)
        ):
            self._spawn(self._leave(session))
            return
        while self._turns and not self._lineup.crowded:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(_Place(session, session is not None and session.unfinished))
                return
        if session is None:
            self._lineup.leave()
        else:
            self._lineup.rest(session, asyncio.get_running_loop().time())
            self._await_expiry()

    def _used_up(self, session: Session) -> bool:
        limits = (self.relay.max_messages_per_connection, session.offer.max_transactions)
        return any(0 < limit <= session.transactions for limit in limits)

    async def _leave(self, session: Session) -> None:
        """The place is free only when the relay has heard QUIT: it may count connections."""
        try:
            await session.quit()
        finally:
            self._free(_Place())

    def _dismiss(self, sessions: tuple[Session, ...]) -> None:
        for session in sessions:
            if session.usable:
                self._spawn(_quit(session))
            else:
                session.abort()

    def _spawn(self, leaving: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(leaving)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _await_expiry(self) -> None:
        due = self._lineup.next_expiry
        if due is not None and self._expiry is None and not self._closed:
            self._expiry = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._dismiss(self._lineup.expired(asyncio.get_running_loop().time()))
        self._await_expiry()


async def _quit(session: Session) -> None:
    await session.quit()
