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
    Reason.RELAY_AUTH: Sign.FAULT,
    Reason.QUOTA_EXHAUSTED: Sign.QUOTA,
    Reason.THROTTLED: Sign.THROTTLE,
}
_INNOCENT = SETUP | {Stage.MAIL}
_WEIGHT = (Sign.AUTH, Sign.QUOTA, Sign.THROTTLE, Sign.LIFE, Sign.FAULT, Sign.NONE)
_OF_ONE_REPLY = frozenset({Sign.AUTH, Sign.QUOTA})


def sign(verdict: Verdict) -> Sign:
    """Give what one recipient's verdict says."""
    if verdict.scope is Scope.US:
        return Sign.NONE
    if verdict.scope is not Scope.ACCOUNT:
        return Sign.LIFE if verdict.kind is Kind.ACCEPTED or verdict.reply else Sign.NONE
    if verdict.reply is None and verdict.stage not in _INNOCENT:
        return Sign.NONE
    if verdict.hard:
        return Sign.AUTH
    return _SIGNS.get(verdict.reason, Sign.NONE)


def decisive(verdicts: Iterable[Verdict]) -> tuple[Sign, Verdict | None]:
    """Give what an attempt says as a whole, and the verdict that says it.

    What concerns the account counts more than a recipient that was refused beside it; but where
    a recipient was accepted, the account can send.
    """
    signs = [(sign(verdict), verdict) for verdict in verdicts]
    if len(signs) == 1:
        return signs[0]
    if any(verdict.kind is Kind.ACCEPTED for _, verdict in signs):
        signs = [pair for pair in signs if pair[0] not in _OF_ONE_REPLY]
    return min(signs, key=lambda pair: _WEIGHT.index(pair[0]), default=(Sign.NONE, None))


def closes(opened_by: Sign, said: Sign, verdict: Verdict | None) -> bool:
    """Whether this result of a probe shows that what opened the breaker is over.

    A used-up quota is over when a message was accepted: a relay refuses recipients all the same.
    Credentials are good when the relay spoke of anything after AUTH.
    """
    if verdict is None or said not in (Sign.LIFE, Sign.THROTTLE):
        return False
    if opened_by is Sign.QUOTA:
        return verdict.kind is Kind.ACCEPTED
    return opened_by is Sign.FAULT or verdict.stage not in SETUP


def unspent(said: Sign, verdict: Verdict | None) -> bool:
    """Whether a probe that did not close the breaker found out nothing, so that the next message
    may be the probe at once: nothing was tried, or the relay spoke of its recipient only."""
    return verdict is None or verdict.scope is Scope.US or said is Sign.LIFE


def displaces(opened_by: Sign, said: Sign) -> bool:
    """Whether an open breaker is open for this from now on. A fault on the way to the relay does
    not answer whether the credentials or the quota are well again."""
    return said in PROBING and (said is not Sign.FAULT or opened_by is Sign.FAULT)


def wait(opened_by: Sign, probes: int) -> float:
    """Give the seconds until the next probe, after so many that failed."""
    probing = PROBING[opened_by]
    return float(min(probing.first * 2.0 ** min(probes, 32), probing.longest))
