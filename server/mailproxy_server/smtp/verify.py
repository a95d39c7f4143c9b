"""Tries a relay without mail: connection, EHLO, TLS and AUTH, and what was said."""

import asyncio
import ssl
from dataclasses import dataclass

from mailproxy_server.mail.transcript import Exchange, Fault, Reply, Stage
from mailproxy_server.smtp.connect import Dial, Opening
from mailproxy_server.smtp.oauth import TokenSource
from mailproxy_server.smtp.relay import Relay, Timeouts


@dataclass(frozen=True, slots=True)
class Verified:
    """What a connection without mail came to; `problem` is the answer that ended it, if not ok.

    `capabilities` are the relay's EHLO keywords with their parameters, as said last (under
    TLS, where there is TLS); `tls_version` is as "TLSv1.3", or empty.
    """

    ok: bool
    exchanges: tuple[Exchange, ...]
    capabilities: tuple[str, ...] = ()
    tls_version: str = ""
    problem: Reply | Fault | None = None

    @property
    def stage(self) -> Stage | None:
        """Where the problem was."""
        return None if self.ok else self.exchanges[-1].stage


async def verify(
    relay: Relay,
    timeouts: Timeouts,
    context: ssl.SSLContext | Fault | None,
    tokens: TokenSource | None = None,
    dial: Dial | None = None,
) -> Verified:
    """Open a connection, go as far as AUTH, and take leave."""
    opening = Opening(relay, timeouts, asyncio.get_running_loop().time(), tokens, dial)
    session = await opening.run(context)
    exchanges = opening.exchanges
    if session is None:
        return Verified(False, tuple(exchanges), problem=exchanges[-1].answer)
    answer = await session.quit()
    exchanges.append(Exchange(Stage.QUIT, "QUIT", answer, opening.elapsed_ms()))
    return Verified(True, tuple(exchanges), session.offer.keywords, session.tls_version)
