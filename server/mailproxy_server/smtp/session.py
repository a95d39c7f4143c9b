"""An open session with a relay, between two transactions.

A session that is not `usable` is never used again: it timed out, answered out of turn, said
421 or was closed.
"""

from mailproxy_server.mail.transcript import Fault, FaultKind, Reply
from mailproxy_server.smtp.offer import Offer
from mailproxy_server.smtp.relay import Timeouts
from mailproxy_server.smtp.wire import Wire


class Session:
    """A connection after greeting, EHLO, TLS and AUTH."""

    def __init__(self, wire: Wire, offer: Offer, timeouts: Timeouts, tls_version: str):
        self.wire = wire
        self.offer = offer
        self.timeouts = timeouts
        self.tls_version = tls_version
        self.transactions = 0
        self.unfinished = False
        """MAIL was accepted and no dot followed: RSET comes before the next MAIL."""

    @property
    def usable(self) -> bool:
        """Whether another transaction may be tried on it."""
        return self.wire.quiet

    async def check(self) -> bool:
        """Ask by RSET whether the relay is still there; that also ends what is unfinished."""
        self.wire.write(b"RSET\r\n")
        answer = (await self.wire.answer(self.timeouts.check)).what
        self.unfinished = False
        return isinstance(answer, Reply) and answer.code == 250 and self.usable

    async def quit(self) -> Reply | Fault:
        """Take leave and close; waits for the relay's answer no longer than its timeout."""
        try:
            self.wire.write(b"QUIT\r\n")
            return (await self.wire.answer(self.timeouts.quit)).what
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once; what is not sent yet never leaves."""
        self.wire.fail(Fault(FaultKind.CLOSED, "we closed the connection"))
