"""What each reply and each fault means, as data: the first rule that fits decides.

Pure. Within what a rule asks for, enhanced codes (RFC 3463) come before basic codes (RFC 5321
section 4.2.1), and words are asked for only where relays are known to say it no other way. What
concerns the account as a whole never condemns a message.

docs/policy.md shows these tables; `python -m tools.pages` writes them there.
"""

from dataclasses import dataclass

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import FaultKind
from mailproxy_server.policy.judgement import (
    ENVELOPE,
    MESSAGE,
    SETUP,
    Judgement,
    Kind,
    Rule,
    Scope,
)
from mailproxy_server.policy.rules_account import FIRST
from mailproxy_server.policy.rules_transaction import THEN

__all__ = ["ENVELOPE", "FAULTS", "MESSAGE", "RULES", "SETUP", "Judgement", "Kind", "Rule", "Scope"]

TOO_MANY_RECIPIENTS = Judgement(Kind.TRANSIENT, Scope.RECIPIENT, Reason.THROTTLED)
"""Fewer recipients in a transaction, please: no failure."""
ACCEPTED = Judgement(Kind.ACCEPTED, Scope.RECIPIENT, Reason.NONE)
LOST = Judgement(Kind.UNCERTAIN, Scope.ACCOUNT, Reason.OUTCOME_UNKNOWN)
"""The final dot left, and its reply was not seen."""
INCOMPLETE = Judgement(Kind.TRANSIENT, Scope.US, Reason.INTERRUPTED)
"""The transcript ends before anything was decided."""

RULES: tuple[Rule, ...] = (*FIRST, *THEN)
"""For replies of 4xx and 5xx."""


@dataclass(frozen=True, slots=True)
class FaultRule:
    """What a fault means, with a note for who reads the table."""

    means: Judgement
    why: str


_UNREACHABLE = Judgement(Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_UNREACHABLE)
_TLS = Judgement(Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_TLS)
_AUTH = Judgement(Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_AUTH, hard=True)
_TOO_LARGE = Judgement(Kind.PERMANENT, Scope.CONTENT, Reason.TOO_LARGE)
_SMTPUTF8 = Judgement(Kind.PERMANENT, Scope.CONTENT, Reason.NEEDS_SMTPUTF8)
_EIGHTBIT = Judgement(Kind.PERMANENT, Scope.CONTENT, Reason.NEEDS_8BITMIME)
_FILE = Judgement(Kind.TRANSIENT, Scope.US, Reason.ATTACHMENT_UNAVAILABLE)

FAULTS: dict[FaultKind, FaultRule] = {
    FaultKind.UNREACHABLE: FaultRule(_UNREACHABLE, "no connection"),
    FaultKind.TIMEOUT: FaultRule(_UNREACHABLE, "no answer in time"),
    FaultKind.CLOSED: FaultRule(_UNREACHABLE, "the connection ended before the reply"),
    FaultKind.PROTOCOL: FaultRule(_UNREACHABLE, "an answer out of turn, or not in SMTP"),
    FaultKind.TLS: FaultRule(_TLS, "STARTTLS is missing, or handshake or certificate are bad"),
    FaultKind.AUTH: FaultRule(_AUTH, "no mechanism in common, or credentials of no use"),
    FaultKind.TOO_LARGE: FaultRule(_TOO_LARGE, "above the relay's SIZE (RFC 1870)"),
    FaultKind.NEEDS_SMTPUTF8: FaultRule(_SMTPUTF8, "not offered (RFC 6531)"),
    FaultKind.NEEDS_8BITMIME: FaultRule(_EIGHTBIT, "not offered (RFC 6152)"),
    FaultKind.CONTENT_LOST: FaultRule(_FILE, "a kept file was not whole, before the final dot"),
    FaultKind.LATE: FaultRule(INCOMPLETE, "room in the limits was not used in time; not sent"),
    FaultKind.LEASE_LOST: FaultRule(INCOMPLETE, "the lease was lost before the final dot"),
}
BEFORE_THE_DOT = frozenset({FaultKind.LEASE_LOST, FaultKind.CONTENT_LOST})
"""At stage DOT these mean that no dot was sent; every other fault there came after it."""
