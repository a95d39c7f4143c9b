"""From a verdict to an outcome: delays, ends, and what may have been delivered twice."""

from dataclasses import replace

import pytest
from mailproxy_server.mail.delivery import Event, Outcome, Reason
from mailproxy_server.mail.transcript import Reply, Stage
from mailproxy_server.policy.classify import Kind, Scope, Verdict
from mailproxy_server.policy.retry import (
    SPARED_MOST,
    RetryPolicy,
    innocent,
    interrupted,
    settle_verdict,
)

NO = Reply(451, "4.3.0", "later")
TRANSIENT = Verdict(Kind.TRANSIENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED, NO, Stage.RCPT)
PERMANENT = Verdict(Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED, NO, Stage.RCPT)
UNCERTAIN = Verdict(Kind.UNCERTAIN, Scope.ACCOUNT, Reason.OUTCOME_UNKNOWN, None, Stage.DOT)
QUOTA = Reply(550, "5.4.5", "daily limit")
BLAMED = Verdict(Kind.TRANSIENT, Scope.ACCOUNT, Reason.QUOTA_EXHAUSTED, QUOTA, Stage.DOT)
AWAY = Verdict(Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_UNREACHABLE, None, Stage.CONNECT)
US = Verdict(Kind.TRANSIENT, Scope.US, Reason.INTERRUPTED, None, Stage.MAIL)
DAY = 86400.0
DEFAULT_SCHEDULE = [60, 120, 240, 480, 960, 1920, *[3600] * 118, 3420]
"""Seconds between the attempts of a message that is never taken, without jitter: 5 days in all."""


def settled(
    verdict: Verdict,
    *,
    attempt: int = 1,
    age: float = 0.0,
    policy: RetryPolicy | None = None,
    jitter: float = 0.0,
    expires_in: float | None = None,
    spared: int = 0,
    at_most_once: bool = False,
) -> Outcome:
    return settle_verdict(
        verdict,
        attempt=attempt,
        age=age,
        policy=policy or RetryPolicy(),
        jitter=jitter,
        expires_in=expires_in,
        spared=spared,
        at_most_once=at_most_once,
    )


def schedule(policy: RetryPolicy, jitter: float = 0.0) -> list[float]:
    """Give the waits of a message that is refused for now at every attempt."""
    waits: list[float] = []
    while True:
        attempt = len(waits) + 1
        outcome = settled(TRANSIENT, attempt=attempt, age=sum(waits), policy=policy, jitter=jitter)
        if outcome.retry_in is None:
            assert outcome == Outcome.failed(Reason.RETRIES_EXHAUSTED, NO, Stage.RCPT)
            return waits
        waits.append(outcome.retry_in)


def test_an_accepted_one_is_sent_with_the_relays_id() -> None:
    reply = Reply(250, "2.0.0", "Ok: queued as A1")
    verdict = Verdict(Kind.ACCEPTED, Scope.RECIPIENT, Reason.NONE, reply, Stage.DOT, "A1")
    assert settled(verdict) == Outcome.sent(reply, "A1")


def test_a_permanent_one_fails_at_its_first_attempt() -> None:
    assert settled(PERMANENT) == Outcome.failed(Reason.RECIPIENT_REFUSED, NO, Stage.RCPT)


def test_the_default_schedule_doubles_from_a_minute_to_an_hour_and_ends_after_five_days() -> None:
    assert schedule(RetryPolicy()) == DEFAULT_SCHEDULE
    assert sum(DEFAULT_SCHEDULE) == 5 * DAY


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (RetryPolicy(max_attempts=1), []),
        (RetryPolicy(max_attempts=4), [60, 120, 240]),
        (RetryPolicy(first=1, factor=3, cap=50, max_attempts=7), [1, 3, 9, 27, 50, 50]),
        (RetryPolicy(first=10, factor=1, max_age=35), [10, 10, 10, 5]),
        (RetryPolicy(first=600, cap=60, max_attempts=3), [60, 60]),
        (RetryPolicy(first=100, max_age=50), [50]),
    ],
)
def test_an_account_may_have_a_schedule_of_its_own(policy: RetryPolicy, waits: list[float]) -> None:
    assert schedule(policy) == waits


@pytest.mark.parametrize("jitter", [-1.0, -0.3, 0.5, 1.0])
def test_jitter_moves_each_wait_by_its_part_and_the_end_not_at_all(jitter: float) -> None:
    waits = schedule(RetryPolicy(), jitter)
    plain = [min(60.0 * 2**number, 3600.0) for number in range(len(waits))]
    expected = [wait * (1 + jitter / 4) for wait in plain[:-1]]
    assert waits[:-1] == pytest.approx(expected)
    assert sum(waits) == pytest.approx(5 * DAY)


def test_any_number_of_attempts_has_a_delay() -> None:
    assert RetryPolicy().delay(10**6, 1.0) == 4500
    assert RetryPolicy(jitter=0).delay(1, 1.0) == 60


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


def test_a_dot_that_was_held_back_waits_as_briefly_and_is_never_the_last() -> None:
    cut, policy = replace(US, stage=Stage.DOT), RetryPolicy(max_attempts=1)
    outcomes = [settled(cut, attempt=n, policy=policy, jitter=1.0) for n in (1, 2, 3, 6, 100)]
    assert [outcome.retry_in for outcome in outcomes] == [0, 1, 2, 16, 600]
    assert not any(outcome.possible_duplicate for outcome in outcomes)
    assert settled(cut, age=5 * DAY).reason is Reason.RETRIES_EXHAUSTED


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA, Stage.DOT])
def test_what_the_relay_says_of_the_account_costs_no_attempt_three_times(stage: Stage) -> None:
    verdict = replace(BLAMED, stage=stage)
    outcomes = [settled(verdict, spared=count) for count in range(SPARED_MOST + 1)]
    spare = Outcome.spare(Reason.QUOTA_EXHAUSTED, QUOTA, stage)
    assert outcomes[:-1] == [spare] * 3
    assert outcomes[-1] == Outcome.deferred(Reason.QUOTA_EXHAUSTED, 60, QUOTA, stage)


def test_what_the_relay_says_of_the_account_is_never_the_last_attempt_but_age_ends_it() -> None:
    policy = RetryPolicy(max_attempts=1)
    assert settled(BLAMED, spared=3, attempt=9, policy=policy).event is Event.DEFERRED
    assert settled(TRANSIENT, spared=3, attempt=9, policy=policy).event is Event.FAILED
    assert settled(BLAMED, spared=3, age=5 * DAY).event is Event.FAILED


def test_a_fault_without_a_reply_counts_although_it_is_the_relays() -> None:
    cut = replace(AWAY, stage=Stage.DATA)
    assert settled(cut) == Outcome.deferred(Reason.RELAY_UNREACHABLE, 60, None, Stage.DATA)


def test_one_to_be_sent_at_most_once_ends_when_nobody_knows_and_only_then() -> None:
    unknown = Outcome.failed(Reason.OUTCOME_UNKNOWN, None, Stage.DOT, possible_duplicate=True)
    assert settled(UNCERTAIN, at_most_once=True) == unknown
    for verdict in (TRANSIENT, PERMANENT, BLAMED, AWAY):
        assert settled(verdict, at_most_once=True) == settled(verdict)


def test_one_interrupted_that_was_to_be_sent_at_most_once_may_have_been_and_ends() -> None:
    unknown = Outcome.failed(Reason.OUTCOME_UNKNOWN, possible_duplicate=True)
    assert interrupted(0, marked=True) == interrupted(5, marked=True) == unknown


@pytest.mark.parametrize(
    ("verdict", "untouched"),
    [
        (AWAY, True),
        (replace(AWAY, stage=Stage.EHLO), True),
        (replace(AWAY, stage=Stage.STARTTLS), True),
        (replace(AWAY, stage=Stage.AUTH, reply=Reply(535)), True),
        (replace(AWAY, stage=Stage.MAIL, reply=Reply(421)), True),
        (replace(AWAY, stage=Stage.MAIL), False),
        (US, True),
        (replace(US, stage=Stage.DOT), False),
        (replace(US, stage=None), False),
        (BLAMED, False),
        (TRANSIENT, False),
        (replace(TRANSIENT, scope=Scope.SENDER, stage=Stage.MAIL), False),
        (UNCERTAIN, False),
        (PERMANENT, False),
    ],
)
def test_a_delivery_goes_back_untouched_where_nothing_was_tried_for_it(
    verdict: Verdict, untouched: bool
) -> None:
    assert innocent(verdict) == untouched
