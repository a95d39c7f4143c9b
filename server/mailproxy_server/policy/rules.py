"""What each reply and each fault means, as data: the first rule that fits decides.

Rules go from stage and enhanced code (RFC 3463) to the basic code (RFC 5321 section 4.2.1).
Words are looked at only where relays are known to say it no other way. What concerns the
whole account never condemns a message.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import FaultKind, Reply, Stage


class Kind(StrEnum):
    """What an attempt came to for one recipient."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNCERTAIN = "uncertain"
    """The final dot left us and no reply came: it may have been delivered."""


class Scope(StrEnum):
    """Whom it concerns."""

    RECIPIENT = "recipient"
    SENDER = "sender"
    CONTENT = "content"
    ACCOUNT = "account"
    US = "us"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one answer means."""

    kind: Kind
    scope: Scope
    reason: Reason


@dataclass(frozen=True, slots=True)
class Rule:
    """Fits a reply at one of `stages` whose basic code begins with one of `codes`, whose
    enhanced code is or lies below one of `enhanced`, and whose text has `words`; what is
    empty is not asked for."""

    means: Judgement
    stages: frozenset[Stage] = frozenset()
    codes: tuple[str, ...] = ()
    enhanced: tuple[str, ...] = ()
    words: re.Pattern[str] | None = None

    def fits(self, stage: Stage, reply: Reply) -> bool:
        """Whether this rule speaks of it."""
        return (
            (not self.stages or stage in self.stages)
            and (not self.codes or str(reply.code).startswith(self.codes))
            and (not self.enhanced or f"{reply.enhanced}.".startswith(self.enhanced))
            and (self.words is None or self.words.search(reply.text) is not None)
        )


SETUP = frozenset({Stage.CONNECT, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})
"""The stages of a connection, before any message."""
ENVELOPE = frozenset({Stage.MAIL, Stage.RCPT})
MESSAGE = frozenset({Stage.DATA, Stage.DOT})
_NOT_RCPT = MESSAGE | {Stage.MAIL}

_THROTTLED = Judgement(Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED)
_UNREACHABLE = Judgement(Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_UNREACHABLE)
_TLS = Judgement(Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_TLS)
_AUTH = Judgement(Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_AUTH)
_TOO_LARGE = Judgement(Kind.PERMANENT, Scope.CONTENT, Reason.TOO_LARGE)
_INTERRUPTED = Judgement(Kind.TRANSIENT, Scope.US, Reason.INTERRUPTED)
TOO_MANY_RECIPIENTS = Judgement(Kind.TRANSIENT, Scope.RECIPIENT, Reason.THROTTLED)
"""Fewer recipients in a transaction, please (RFC 5321 section 4.5.3.1.10): no failure."""
ACCEPTED = Judgement(Kind.ACCEPTED, Scope.RECIPIENT, Reason.NONE)

_PACE = re.compile(
    r"throttl|rate limit|sending rate|too fast|too many (?:messages|mails|connections)"
    r"|(?:daily|sending) .{0,30}(?:quota|limit)",
    re.IGNORECASE,
)
_STOPPED = re.compile(
    r"sending (?:\w+ ){0,3}(?:paused|suspended|disabled)"
    r"|account (?:\w+ ){0,3}(?:paused|suspended|disabled)"
    r"|(?:daily|sending) .{0,30}(?:quota|limit)|credits exceeded",
    re.IGNORECASE,
)

RULES: tuple[Rule, ...] = (
    Rule(_TLS, frozenset({Stage.STARTTLS})),
    Rule(_AUTH, frozenset({Stage.AUTH})),
    Rule(_THROTTLED, codes=("421",), enhanced=("4.7.",)),
    Rule(_UNREACHABLE, codes=("421",)),
    Rule(_UNREACHABLE, SETUP),
    # The relay wants TLS or AUTH first, or the transaction in another order: our set-up.
    Rule(_TLS, codes=("530",), words=re.compile("STARTTLS", re.IGNORECASE)),
    Rule(_AUTH, codes=("530", "534", "535", "538")),
    Rule(_AUTH, codes=("5",), enhanced=("5.7.8.", "5.7.9.", "5.7.11.")),
    Rule(_UNREACHABLE, codes=("503",)),
    # The account as a whole: its daily limit (5.4.5, Gmail), its own mailbox full, stopped.
    Rule(_THROTTLED, codes=("5",), enhanced=("5.4.5.",)),
    Rule(_THROTTLED, _NOT_RCPT, ("5",), ("5.2.2.",)),
    Rule(_THROTTLED, _NOT_RCPT, ("5",), words=_STOPPED),
    Rule(_THROTTLED, codes=("4",), words=_PACE),
    Rule(_THROTTLED, frozenset({Stage.MAIL}), ("4",), ("4.7.",)),
    Rule(_THROTTLED, _NOT_RCPT, ("4",), ("4.3.1.", "4.3.2.")),
    Rule(TOO_MANY_RECIPIENTS, frozenset({Stage.RCPT}), ("4", "552"), ("4.5.3.", "5.5.3.")),
    Rule(TOO_MANY_RECIPIENTS, frozenset({Stage.RCPT}), ("552",), (".",)),
    Rule(
        Judgement(Kind.TRANSIENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED),
        frozenset({Stage.RCPT}),
        ("4",),
    ),
    Rule(
        Judgement(Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED),
        frozenset({Stage.RCPT}),
    ),
    Rule(_TOO_LARGE, _NOT_RCPT, ("5",), ("5.3.4.",)),
    Rule(_TOO_LARGE, _NOT_RCPT, ("552",), (".",)),
    Rule(
        Judgement(Kind.TRANSIENT, Scope.SENDER, Reason.SENDER_REFUSED),
        frozenset({Stage.MAIL}),
        ("4",),
    ),
    Rule(Judgement(Kind.PERMANENT, Scope.SENDER, Reason.SENDER_REFUSED), frozenset({Stage.MAIL})),
    Rule(Judgement(Kind.TRANSIENT, Scope.CONTENT, Reason.CONTENT_REFUSED), MESSAGE, ("4",)),
    Rule(Judgement(Kind.PERMANENT, Scope.CONTENT, Reason.CONTENT_REFUSED), MESSAGE),
)
"""For replies of 4xx and 5xx. An enhanced code of "." stands for none."""

FAULTS: dict[FaultKind, Judgement] = {
    FaultKind.UNREACHABLE: _UNREACHABLE,
    FaultKind.TIMEOUT: _UNREACHABLE,
    FaultKind.CLOSED: _UNREACHABLE,
    FaultKind.PROTOCOL: _UNREACHABLE,
    FaultKind.TLS: _TLS,
    FaultKind.AUTH: _AUTH,
    FaultKind.TOO_LARGE: _TOO_LARGE,
    FaultKind.NEEDS_SMTPUTF8: Judgement(Kind.PERMANENT, Scope.CONTENT, Reason.NEEDS_SMTPUTF8),
    FaultKind.NEEDS_8BITMIME: Judgement(Kind.PERMANENT, Scope.CONTENT, Reason.NEEDS_8BITMIME),
    FaultKind.LATE: _INTERRUPTED,
    FaultKind.LEASE_LOST: _INTERRUPTED,
    FaultKind.DRAINING: _INTERRUPTED,
}

BEFORE_THE_DOT = frozenset({FaultKind.LEASE_LOST, FaultKind.DRAINING})
"""At stage DOT these mean that no dot was sent; every other fault there came after it."""
LOST = Judgement(Kind.UNCERTAIN, Scope.ACCOUNT, Reason.OUTCOME_UNKNOWN)
"""The final dot left, and its reply was not seen."""
INCOMPLETE = _INTERRUPTED
"""The transcript ends before anything was decided."""
