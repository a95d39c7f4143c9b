"""The breaker: when an account stops sending, since its relay does not work or takes no more.

A fault is the relay's or the way to it: some in a row open the breaker. A refusal of the
account as a whole opens it at once: nothing that is sent meanwhile would fare better. While it
is open one message now and then finds out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Stage
from mailproxy_server.policy.classify import Verdict
from mailproxy_server.policy.rules import SETUP, Kind, Scope

FAULTS_TO_OPEN = 5
"""In a row, without a sign of life between them."""


class Sign(StrEnum):
    """What an attempt says of the relay and the account."""

    LIFE = "life"
    """The relay took a message, or refused one for its own sake."""
    FAULT = "fault"
    """No connection, no TLS, no answer to MAIL, or 421."""
    AUTH = "auth"
    """The credentials were refused for good: an operator is needed."""
    QUOTA = "quota"
    """The account may send no more for now."""
    THROTTLE = "throttle"
    """Slower, please."""
    NONE = "none"
    """It says nothing: we broke it off, or it ended in the middle of a message, which may be
    that message's own doing."""


@dataclass(frozen=True, slots=True)
class Probing:
    """When an open breaker is tried: after `first` seconds, ever later up to `longest`."""

    first: float
    longest: float


PROBING = {
    Sign.FAULT: Probing(30.0, 600.0),
    Sign.AUTH: Probing(900.0, 900.0),
    Sign.QUOTA: Probing(600.0, 600.0),
}
"""By what opened it. Credentials are tried four times an hour: more may lock the account."""

BLAMING = frozenset({Sign.FAULT, Sign.AUTH, Sign.QUOTA, Sign.THROTTLE})
"""The account is to blame, or its relay."""

_SIGNS = {
    Reason.RELAY_UNREACHABLE: Sign.FAULT,
    Reason.RELAY_TLS: Sign.FAULT,
    Reason.QUOTA_EXHAUSTED: Sign.QUOTA,
    Reason.THROTTLED: Sign.THROTTLE,
}
_INNOCENT = SETUP | {Stage.MAIL}
_WEIGHT = (Sign.LIFE, Sign.AUTH, Sign.QUOTA, Sign.THROTTLE, Sign.FAULT, Sign.NONE)


def sign(verdict: Verdict) -> Sign:
    """Give what one recipient's verdict says."""
    if verdict.scope is Scope.US:
        return Sign.NONE
    if verdict.scope is not Scope.ACCOUNT:
        return Sign.LIFE if verdict.kind is Kind.ACCEPTED or verdict.reply else Sign.NONE
    if verdict.reply is None and verdict.stage not in _INNOCENT:
        return Sign.NONE
    if verdict.reason is Reason.RELAY_AUTH:
        passing = verdict.reply is not None and verdict.reply.code < 500
        return Sign.FAULT if passing else Sign.AUTH
    return _SIGNS.get(verdict.reason, Sign.NONE)


def decisive(verdicts: Iterable[Verdict]) -> tuple[Sign, Verdict | None]:
    """Give what an attempt says as a whole, and the verdict that says it."""
    signs = [(sign(verdict), verdict) for verdict in verdicts]
    return min(signs, key=lambda pair: _WEIGHT.index(pair[0]), default=(Sign.NONE, None))


def wait(opened_by: Sign, probes: int) -> float:
    """Give the seconds until the next probe, after so many that failed."""
    probing = PROBING[opened_by]
    return float(min(probing.first * 2.0 ** min(probes, 32), probing.longest))
