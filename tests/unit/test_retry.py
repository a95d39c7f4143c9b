"""From a verdict to an outcome: delays, ends, and what may have been delivered twice."""

import pytest
from mailproxy_server.mail.delivery import Event, Outcome, Reason
from mailproxy_server.mail.transcript import Reply, Stage
from mailproxy_server.policy.classify import Kind, Scope, Verdict
from mailproxy_server.policy.retry import RetryPolicy, interrupted, settle_verdict

NO = Reply(451, "4.3.0", "later")
TRANSIENT = Verdict(Kind.TRANSIENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED, NO, Stage.RCPT)
PERMANENT = Verdict(Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED, NO, Stage.RCPT)
UNCERTAIN = Verdict(Kind.UNCERTAIN, Scope.ACCOUNT, Reason.OUTCOME_UNKNOWN, None, Stage.DOT)


def settled(
    verdict: Verdict,
    *,
    attempt: int = 1,
    age: float = 0.0,
    policy: RetryPolicy | None = None,
    jitter: float = 0.0,
    expires_in: float | None = None,
) -> Outcome:
    return settle_verdict(
        verdict,
        attempt=attempt,
        age=age,
        policy=policy or RetryPolicy(),
        jitter=jitter,
        expires_in=expires_in,
    )


def test_an_accepted_one_is_sent_with_the_relays_id() -> None:
    reply = Reply(250, "2.0.0", "Ok: queued as A1")
    verdict = Verdict(Kind.ACCEPTED, Scope.RECIPIENT, Reason.NONE, reply, Stage.DOT, "A1")
    assert settled(verdict) == Outcome.sent(reply, "A1")


def test_a_permanent_one_fails_at_its_first_attempt() -> None:
    assert settled(PERMANENT) == Outcome.failed(Reason.RECIPIENT_REFUSED, NO, Stage.RCPT)


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [(1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (50, 3600), (10**6, 3600)],
)
def test_delays_double_up_to_an_hour(attempt: int, seconds: float) -> None:
    outcome = settled(TRANSIENT, attempt=attempt)
    assert outcome == Outcome.deferred(Reason.RECIPIENT_REFUSED, seconds, NO, Stage.RCPT)


def test_jitter_is_a_quarter_either_way() -> None:
    assert settled(TRANSIENT, jitter=-1.0).retry_in == 45
    assert settled(TRANSIENT, jitter=1.0).retry_in == 75


def test_after_five_days_it_is_exhausted_and_not_before() -> None:
    days = 5 * 86400.0
    last = settled(TRANSIENT, attempt=125, age=days - 10)
    assert (last.event, last.retry_in) == (Event.DEFERRED, 10)
    over = settled(TRANSIENT, attempt=126, age=days)
    assert over == Outcome.failed(Reason.RETRIES_EXHAUSTED, NO, Stage.RCPT)


def test_a_bound_on_attempts_counts_the_one_that_ended() -> None:
    policy = RetryPolicy(max_attempts=3)
    events = [settled(TRANSIENT, attempt=n, policy=policy).event for n in (1, 2, 3)]
    assert events == [Event.DEFERRED, Event.DEFERRED, Event.FAILED]


@pytest.mark.parametrize(("expires_in", "wait"), [(None, 60), (600.0, 60), (10.0, 10), (-5.0, 0)])
def test_the_next_attempt_is_never_later_than_the_expiry(
    expires_in: float | None, wait: float
) -> None:
    outcome = settled(TRANSIENT, expires_in=expires_in)
    assert (outcome.event, outcome.retry_in) == (Event.DEFERRED, wait)


def test_an_uncertain_one_comes_again_and_says_that_it_may_be_a_duplicate() -> None:
    outcome = settled(UNCERTAIN)
    assert (outcome.event, outcome.reason) == (Event.DEFERRED, Reason.OUTCOME_UNKNOWN)
    assert outcome.possible_duplicate
    ended = settled(UNCERTAIN, age=10**6)
    assert (ended.reason, ended.possible_duplicate) == (Reason.RETRIES_EXHAUSTED, True)


def test_one_too_many_for_a_transaction_goes_again_at_once_with_no_end() -> None:
    crowded = Verdict(
        Kind.TRANSIENT, Scope.RECIPIENT, Reason.THROTTLED, None, Stage.RCPT, at_once=True
    )
    outcome = settled(crowded, attempt=9, age=10**6, policy=RetryPolicy(max_attempts=1))
    assert (outcome.event, outcome.retry_in) == (Event.DEFERRED, 0)


def test_an_interrupted_one_comes_again_at_once_but_not_in_a_circle() -> None:
    waits = [interrupted(attempts).retry_in for attempts in (0, 1, 2, 5, 99)]
    assert waits == [0, 1, 2, 16, 600]
    assert interrupted(0).reason is Reason.INTERRUPTED
    assert interrupted(0).possible_duplicate
