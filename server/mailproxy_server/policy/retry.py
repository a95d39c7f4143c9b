"""When to try again: from a verdict to the outcome of the attempt.

A transient or uncertain verdict is deferred, ever longer, until the policy's age or number of
attempts is reached. The next attempt is never later than the message's expiry, so that a
message ends EXPIRED at its time and not after it.
"""

from dataclasses import dataclass

from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.transcript import Stage
from mailproxy_server.policy.classify import Kind, Scope, Verdict
from mailproxy_server.policy.rules import SETUP

_DAY = 86400.0
_INTERRUPTED_CAP = 600.0
SPARED_MOST = 3
"""Attempts that are not counted, in a round, because the relay blamed the account: a message that
is wrongly taken for innocent must not hold its account up for ever."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delays in seconds: `first`, times `factor` at each attempt, up to `cap`, all by up to
    `jitter` (a fraction) more or less; given up `max_age` seconds after the message was due
    first, or after `max_attempts`."""

    first: float = 60.0
    factor: float = 2.0
    cap: float = 3600.0
    jitter: float = 0.25
    max_age: float = 5 * _DAY
    max_attempts: int | None = None

    def delay(self, attempt: int, jitter: float) -> float:
        """Give the seconds from the end of this attempt (from 1) to the next; jitter in [-1, 1]."""
        doublings = min(max(attempt, 1) - 1, 64)
        plain = min(self.first * self.factor**doublings, self.cap)
        return plain * (1 + self.jitter * jitter)


def innocent(verdict: Verdict) -> bool:
    """Whether nothing was tried for the message, and the account or we are to blame for it.

    It goes back to its place untouched. That is so before MAIL, and where MAIL was answered
    for the account as a whole.
    """
    if verdict.scope is Scope.US:
        return verdict.stage is Stage.MAIL
    if verdict.scope is not Scope.ACCOUNT:
        return False
    return verdict.stage in SETUP or (verdict.stage is Stage.MAIL and verdict.reply is not None)


def settle_verdict(
    verdict: Verdict,
    *,
    attempt: int,
    age: float,
    policy: RetryPolicy,
    jitter: float,
    expires_in: float | None,
    spared: int = 0,
    at_most_once: bool = False,
) -> Outcome:
    """Give the outcome of attempt number `attempt` (from 1).

    `age` is in seconds since the message was due first; `jitter` lies in [-1, 1];
    `expires_in` is the time left until the message's own expiry, None when it has none;
    `spared` is how many attempts were not counted before. What the relay says of the account,
    and a dot that we held back, never is the last attempt: only the age ends a message then.
    """
    if verdict.kind is Kind.ACCEPTED and verdict.reply is not None:
        return Outcome.sent(verdict.reply, verdict.relay_message_id)
    reason, reply, stage = verdict.reason, verdict.reply, verdict.stage
    if verdict.kind is Kind.PERMANENT:
        return Outcome.failed(reason, reply, stage)
    uncertain = verdict.kind is Kind.UNCERTAIN
    if uncertain and at_most_once:
        return Outcome.failed(Reason.OUTCOME_UNKNOWN, reply, stage, possible_duplicate=True)
    blamed = verdict.scope is Scope.ACCOUNT and reply is not None and not uncertain
    if verdict.at_once or (blamed and spared < SPARED_MOST):
        return Outcome.spare(reason, reply, stage)
    cut = reason is Reason.INTERRUPTED
    last = not (blamed or cut) and attempt >= (policy.max_attempts or attempt + 1)
    if last or age >= policy.max_age:
        return Outcome.failed(Reason.RETRIES_EXHAUSTED, reply, stage, uncertain)
    wait = min(_soon(attempt - 1) if cut else policy.delay(attempt, jitter), policy.max_age - age)
    if expires_in is not None:
        wait = min(wait, max(expires_in, 0.0))
    return Outcome.deferred(reason, wait, reply, stage, uncertain)


def interrupted(attempts: int, *, marked: bool = False) -> Outcome:
    """Give the outcome of an attempt whose process died or stalled.

    `attempts` ended before it; `marked`: it was to be sent at most once, and may have been. The
    first one is tried again at once, later ones ever later, from a second on: a message that
    kills its process must not do so in a circle. What the relay got is not known.
    """
    if marked:
        return Outcome.failed(Reason.OUTCOME_UNKNOWN, possible_duplicate=True)
    return Outcome.deferred(Reason.INTERRUPTED, _soon(attempts), possible_duplicate=True)


def _soon(attempts: int) -> float:
    """Give the seconds to the next attempt after one that was cut off; `attempts` ended before."""
    return min(2.0 ** min(attempts - 1, 64), _INTERRUPTED_CAP) if attempts else 0.0
