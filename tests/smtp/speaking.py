"""Short words for the tests of this folder: a pool at a scripted relay, and one send."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from mailproxy_server.mail.envelope import Envelope
from mailproxy_server.mail.transcript import Fault, Transcript
from mailproxy_server.smtp.pool import Pool
from mailproxy_server.smtp.relay import Relay, Timeouts, Tls

from tests.support.relay import ScriptedRelay

TEXT = b"Subject: hello\r\n\r\nGood morning.\r\n"


def hasty(stage: str, seconds: float = 0.2) -> Timeouts:
    """Give timeouts that are short at this stage only, so that a slow machine fails no other."""
    return replace(Timeouts(), **{stage: seconds})


def relay_at(relay: ScriptedRelay, **settings: Any) -> Relay:
    """Give the relay as an account has it, without TLS unless told."""
    return Relay(**{"host": relay.host, "port": relay.port, "tls": Tls.NONE, **settings})


@dataclass(frozen=True)
class Permit:
    """What a transaction may do."""

    may_dot: Callable[[], Fault | None] = lambda: None
    may_mail: Callable[[], Fault | None] = lambda: None


@asynccontextmanager
async def pool_at(
    relay: ScriptedRelay, *, timeouts: Timeouts | None = None, **settings: Any
) -> AsyncIterator[Pool]:
    """Give a pool at this relay, closed at the end."""
    pool = Pool(relay_at(relay, **settings), timeouts=timeouts)
    try:
        yield pool
    finally:
        await pool.close()


async def send(
    pool: Pool,
    *recipients: str,
    content: bytes = TEXT,
    return_path: str = "shop@a.test",
    eight_bit: bool = False,
    utf8_headers: bool = False,
    may_dot: Callable[[], Fault | None] = lambda: None,
    may_mail: Callable[[], Fault | None] = lambda: None,
) -> Transcript:
    """Send one message."""
    return await pool.send(
        Envelope(return_path, recipients or ("ann@b.test",)),
        content,
        eight_bit=eight_bit,
        utf8_headers=utf8_headers,
        envelope_id="order-17",
        permit=Permit(may_dot, may_mail),
    )


def said(transcript: Transcript) -> list[str]:
    """Give the answers from MAIL on, as "RCPT 550" or "DOT timeout"."""
    return [
        f"{e.stage} {e.answer.kind if isinstance(e.answer, Fault) else e.answer.code}"
        for e in transcript.exchanges
        if e.stage not in ("CONNECT", "EHLO", "STARTTLS", "AUTH")
    ]
