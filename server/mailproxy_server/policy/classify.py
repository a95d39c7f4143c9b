"""Judges a transcript: one verdict for each recipient.

By stage, then enhanced code, then basic code (`rules`). A recipient's own refusal decides for
that recipient even where the dialogue broke off later; what stopped the transaction decides for
the others. A fault after the final dot is uncertain, never a failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Exchange, Fault, FaultKind, Reply, Stage, Transcript
from mailproxy_server.policy import rules
from mailproxy_server.policy.relay_id import relay_message_id
from mailproxy_server.policy.rules import Judgement, Kind, Scope

__all__ = ["Kind", "Scope", "Verdict", "classify", "judge", "relay_message_id"]

_TRANSACTION = rules.ENVELOPE | rules.MESSAGE
_OWN_FAULTS = frozenset({FaultKind.NEEDS_SMTPUTF8})
"""Faults that concern the one recipient they are noted for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one attempt came to for one recipient.

    `reply` and `stage` are the answer that decided. `at_once`: the relay wants fewer recipients
    at a time than there were; try again with no delay and no penalty. `hard`: the
    account cannot send until an operator changes it, credentials that are refused for good.
    """

    kind: Kind
    scope: Scope
    reason: Reason
    reply: Reply | None = None
    stage: Stage | None = None
    relay_message_id: str = ""
    at_once: bool = False
    hard: bool = False


def classify(transcript: Transcript, recipients: tuple[str, ...]) -> tuple[Verdict, ...]:
    """Give the verdicts, in the order of the recipients that the transaction was given."""
    own = {e.recipient_no: e for e in transcript.exchanges if e.recipient_no is not None}
    decisive = _decisive(transcript.exchanges)
    shared = _verdict(decisive) if decisive is not None else _INCOMPLETE
    verdicts = tuple([_one(own.get(number), shared) for number in range(len(recipients))])
    if not any(map(_crowded, verdicts)):
        return verdicts
    taken = any(verdict.kind is Kind.ACCEPTED for verdict in verdicts)
    return tuple(
        replace(v, at_once=True)
        if _crowded(v) and (taken or (len(verdicts) > 1 and v.stage in rules.MESSAGE))
        else v
        for v in verdicts
    )


def fewer(verdicts: Sequence[Verdict]) -> int | None:
    """Give how many recipients at a time the relay takes; None when it did not complain.

    As many as it took; half of them where it took none and said so after the last.
    """
    if not any(verdict.at_once for verdict in verdicts):
        return None
    return sum(verdict.kind is Kind.ACCEPTED for verdict in verdicts) or len(verdicts) // 2


def judge(stage: Stage, answer: Reply | Fault) -> Judgement:
    """Give what one answer means at its stage."""
    if isinstance(answer, Fault):
        if stage is Stage.DOT and answer.kind not in rules.BEFORE_THE_DOT:
            return rules.LOST
        if stage is Stage.STARTTLS and answer.kind is FaultKind.PROTOCOL:
            return rules.FAULTS[FaultKind.TLS].means
        return rules.FAULTS[answer.kind].means
    if answer.positive:
        return rules.ACCEPTED if stage is Stage.DOT else rules.INCOMPLETE
    return next(rule.means(answer) for rule in rules.RULES if rule.fits(stage, answer))


def _decisive(exchanges: tuple[Exchange, ...]) -> Exchange | None:
    """Give what decides for every recipient that was not refused by itself."""
    last, begun = None, False
    for exchange in exchanges:
        if exchange.stage in _TRANSACTION:
            begun = True
            if exchange.stage is Stage.DOT or (_refused(exchange) and not _own(exchange)):
                return exchange
        elif exchange.stage in rules.SETUP:
            last = exchange
    return last if last is not None and not begun and _refused(last) else None


def _one(own: Exchange | None, shared: Verdict) -> Verdict:
    if own is not None and _own(own) and isinstance(own.answer, Fault):
        return _verdict(own)
    if shared.stage in rules.SETUP or shared.stage is Stage.MAIL:
        return shared
    if own is not None and _refused(own):
        return _verdict(own)
    if own is None and shared.kind in (Kind.ACCEPTED, Kind.UNCERTAIN):
        means = rules.TOO_MANY_RECIPIENTS  # past the relay's RCPTMAX: not asked for
        return Verdict(means.kind, means.scope, means.reason, stage=Stage.RCPT)
    return shared


def _verdict(exchange: Exchange) -> Verdict:
    means = judge(exchange.stage, exchange.answer)
    reply = exchange.answer if isinstance(exchange.answer, Reply) else None
    named = relay_message_id(reply) if reply and means.kind is Kind.ACCEPTED else ""
    return Verdict(
        means.kind, means.scope, means.reason, reply, exchange.stage, named, hard=means.hard
    )


def _refused(exchange: Exchange) -> bool:
    return isinstance(exchange.answer, Fault) or not exchange.answer.positive


def _own(exchange: Exchange) -> bool:
    """Whether it concerns its one recipient only: a reply to RCPT, or an address we cannot say."""
    if exchange.stage is not Stage.RCPT:
        return False
    return isinstance(exchange.answer, Reply) or exchange.answer.kind in _OWN_FAULTS


def _crowded(verdict: Verdict) -> bool:
    means = rules.TOO_MANY_RECIPIENTS
    return verdict.scope is means.scope and verdict.reason is means.reason


_INCOMPLETE = Verdict(
    rules.INCOMPLETE.kind, rules.INCOMPLETE.scope, rules.INCOMPLETE.reason, stage=None
)
