"""What was said between us and a relay during one attempt, as data (RFC 5321).

A transcript is a fact: it holds what was sent and what came back, and no judgement.
`policy.classify` judges it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

REPLY_TEXT_LIMIT = 2048
"""Octets of a relay's words that are kept (2 KiB)."""


class Stage(StrEnum):
    """The step of the dialogue that an exchange belongs to."""

    CONNECT = "CONNECT"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    DOT = "DOT"
    RSET = "RSET"
    QUIT = "QUIT"


class FaultKind(StrEnum):
    """What went wrong where no reply came, or none that could be used."""

    UNREACHABLE = "unreachable"
    """No connection: refused, no route, or the name does not resolve."""
    TIMEOUT = "timeout"
    CLOSED = "closed"
    """The connection ended before the reply."""
    TLS = "tls"
    """The handshake or certificate check failed, or STARTTLS is missing or was tampered with."""
    AUTH = "auth"
    """No mechanism in common with the relay, or credentials that cannot be used."""
    PROTOCOL = "protocol"
    """The relay answered out of turn or not in SMTP."""
    TOO_LARGE = "too_large"
    """The message is above the relay's SIZE (RFC 1870); nothing was sent."""
    NEEDS_SMTPUTF8 = "needs_smtputf8"
    """An address needs SMTPUTF8 (RFC 6531), not offered; nothing was sent."""
    NEEDS_8BITMIME = "needs_8bitmime"
    """The content needs 8BITMIME (RFC 6152), not offered; nothing was sent."""
    CONTENT_LOST = "content_lost"
    """A file of ours was not whole, and we closed the connection before the final dot."""
    LEASE_LOST = "lease_lost"
    """We could not renew our lease and closed the connection before the final dot."""
    LATE = "late"
    """The room reserved in the account's limits was not used in time; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A relay's reply.

    `enhanced` is the RFC 3463 code without the text, or ""; `text` has its lines joined by
    newlines, codes removed, cut at `REPLY_TEXT_LIMIT` (then `truncated` is true).
    """

    code: int
    enhanced: str = ""
    text: str = ""
    truncated: bool = False

    @property
    def positive(self) -> bool:
        """Whether it is a 2xx or 3xx reply."""
        return 200 <= self.code < 400


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure without a reply. `detail` is ours, short, and free of secrets."""

    kind: FaultKind
    detail: str = ""


class Exchange(NamedTuple):
    """One step: what was sent, and the reply or fault that followed.

    `command` never holds credentials or content; `recipient_no` is the index into the
    transaction's recipients for RCPT, else None; `elapsed_ms` counts from the attempt's start.
    """

    stage: Stage
    command: str
    answer: Reply | Fault
    elapsed_ms: int = 0
    recipient_no: int | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """The dialogue of one transaction, in order.

    Begins with the connection's own exchanges (CONNECT to AUTH) when this transaction
    opened it. `relay_host` is "host:port". `mail_sent_ms` is when MAIL left us, from the
    attempt's start, or None when it never did.
    """

    relay_host: str
    exchanges: tuple[Exchange, ...]
    mail_sent_ms: int | None = None

    @property
    def trouble(self) -> str:
        """What we say of the last thing that went wrong without a reply; "" when nothing did."""
        faults = [e.answer for e in self.exchanges if isinstance(e.answer, Fault)]
        return f"{faults[-1].kind}: {faults[-1].detail}" if faults else ""
