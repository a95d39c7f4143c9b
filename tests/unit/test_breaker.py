"""The breaker: what an attempt says of its account, and when an open breaker is tried."""

from dataclasses import replace

import pytest
from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Exchange, Fault, FaultKind, Reply, Stage, Transcript
from mailproxy_server.policy.breaker import Sign, closes, decisive, displaces, sign, unspent, wait
from mailproxy_server.policy.classify import Kind, Scope, Verdict, classify

ACCEPTED = Verdict(
    Kind.ACCEPTED, Scope.RECIPIENT, Reason.NONE, Reply(250, "2.0.0", "ok"), Stage.DOT
)
NO_USER = Verdict(
    Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED, Reply(550, "5.1.1"), Stage.RCPT
)
CROWDED = Verdict(
    Kind.TRANSIENT, Scope.RECIPIENT, Reason.THROTTLED, Reply(452, "4.5.3"), Stage.RCPT
)
LATE = Verdict(Kind.TRANSIENT, Scope.US, Reason.INTERRUPTED, stage=Stage.MAIL)


def account(reason: Reason, stage: Stage, code: int | None = None) -> Verdict:
    """A verdict that blames the account."""
    reply = Reply(code) if code else None
    return Verdict(Kind.TRANSIENT, Scope.ACCOUNT, reason, reply, stage)


AWAY = account(Reason.RELAY_UNREACHABLE, Stage.CONNECT)
REFUSED = replace(account(Reason.RELAY_AUTH, Stage.AUTH, 535), hard=True)
USED_UP = account(Reason.QUOTA_EXHAUSTED, Stage.DOT, 550)
SLOWER = account(Reason.THROTTLED, Stage.MAIL, 451)
CUT = account(Reason.RELAY_UNREACHABLE, Stage.DATA)


@pytest.mark.parametrize(
    ("stage", "answer", "means"),
    [
        ("CONNECT", Fault(FaultKind.UNREACHABLE), Sign.FAULT),
        ("CONNECT", Fault(FaultKind.TIMEOUT), Sign.FAULT),
        ("CONNECT", Fault(FaultKind.TLS), Sign.FAULT),
        ("CONNECT", Reply(554, "", "no service"), Sign.FAULT),
        ("CONNECT", Reply(421, "4.7.0", "too many connections"), Sign.THROTTLE),
        ("EHLO", Reply(421, "4.3.2", "shutting down"), Sign.FAULT),
        ("EHLO", Fault(FaultKind.CLOSED), Sign.FAULT),
        ("STARTTLS", Reply(454, "4.7.0", "not now"), Sign.FAULT),
        ("STARTTLS", Fault(FaultKind.TLS), Sign.FAULT),
        ("AUTH", Reply(535, "5.7.8", "bad credentials"), Sign.AUTH),
        ("AUTH", Fault(FaultKind.AUTH), Sign.AUTH),
        ("AUTH", Reply(454, "4.7.0", "temporary failure"), Sign.FAULT),
        ("AUTH", Fault(FaultKind.TIMEOUT), Sign.FAULT),
        ("MAIL", Reply(530, "5.7.0", "Authentication required"), Sign.AUTH),
        ("MAIL", Reply(530, "5.7.0", "Must issue a STARTTLS command first"), Sign.FAULT),
        ("MAIL", Reply(421, "4.3.0", "closing"), Sign.FAULT),
        ("MAIL", Fault(FaultKind.CLOSED), Sign.FAULT),
        ("MAIL", Reply(550, "5.1.8", "sender refused"), Sign.LIFE),
        ("RCPT", Reply(550, "5.1.1", "no such user"), Sign.LIFE),
        ("RCPT", Reply(450, "4.2.1", "greylisted"), Sign.LIFE),
        ("RCPT", Reply(421, "4.3.0", "closing"), Sign.FAULT),
        ("DATA", Fault(FaultKind.CLOSED), Sign.NONE),
        ("DOT", Reply(554, "5.7.1", "spam"), Sign.LIFE),
        ("DOT", Reply(421, "4.3.0", "closing"), Sign.FAULT),
        ("DOT", Fault(FaultKind.TIMEOUT), Sign.NONE),
        ("DOT", Fault(FaultKind.LEASE_LOST), Sign.NONE),
        ("MAIL", Fault(FaultKind.LATE), Sign.NONE),
        ("MAIL", Fault(FaultKind.TOO_LARGE), Sign.NONE),
    ],
)
def test_each_answer_says_something_of_the_account(
    stage: str, answer: Reply | Fault, means: Sign
) -> None:
    number = 0 if stage == "RCPT" else None
    said = Transcript("relay.test:25", (Exchange(Stage(stage), "", answer, 0, number),))
    assert [sign(verdict) for verdict in classify(said, ("a@b.test",))] == [means]


@pytest.mark.parametrize(
    ("verdict", "means"),
    [
        (ACCEPTED, Sign.LIFE),
        (USED_UP, Sign.QUOTA),
        (SLOWER, Sign.THROTTLE),
        (CROWDED, Sign.LIFE),
        (account(Reason.RELAY_TLS, Stage.STARTTLS, 454), Sign.FAULT),
        (account(Reason.RELAY_AUTH, Stage.AUTH, 454), Sign.FAULT),
        (REFUSED, Sign.AUTH),
        (account(Reason.OUTCOME_UNKNOWN, Stage.DOT), Sign.NONE),
    ],
)
def test_each_reason_says_something_of_the_account(verdict: Verdict, means: Sign) -> None:
    assert sign(verdict) is means


@pytest.mark.parametrize(
    ("verdicts", "means"),
    [
        ((), Sign.NONE),
        ((NO_USER, USED_UP), Sign.QUOTA),
        ((NO_USER, SLOWER), Sign.THROTTLE),
        ((NO_USER, AWAY), Sign.LIFE),
        ((USED_UP, ACCEPTED), Sign.LIFE),
        ((REFUSED, ACCEPTED), Sign.LIFE),
        ((SLOWER, ACCEPTED), Sign.THROTTLE),
        ((CUT, CUT), Sign.NONE),
        ((NO_USER, CUT), Sign.LIFE),
    ],
)
def test_the_account_counts_most_and_an_accepted_recipient_clears_it(
    verdicts: tuple[Verdict, ...], means: Sign
) -> None:
    assert decisive(verdicts)[0] is means


def test_an_attempt_names_the_verdict_that_decided() -> None:
    assert decisive((NO_USER, USED_UP)) == (Sign.QUOTA, USED_UP)
    assert decisive(()) == (Sign.NONE, None)


@pytest.mark.parametrize(
    ("opened_by", "seconds"),
    [
        (Sign.FAULT, [30, 60, 120, 240, 480, 600, 600]),
        (Sign.AUTH, [900] * 7),
        (Sign.QUOTA, [600] * 7),
    ],
)
def test_an_open_breaker_is_tried_ever_later(opened_by: Sign, seconds: list[float]) -> None:
    assert [wait(opened_by, probes) for probes in range(7)] == seconds
    assert wait(opened_by, 1_000_000) == seconds[-1]


@pytest.mark.parametrize(
    ("opened_by", "verdict", "over"),
    [
        (Sign.FAULT, ACCEPTED, True),
        (Sign.FAULT, NO_USER, True),
        (Sign.FAULT, SLOWER, True),
        (Sign.FAULT, CUT, False),
        (Sign.FAULT, AWAY, False),
        (Sign.AUTH, NO_USER, True),
        (Sign.AUTH, SLOWER, True),
        (Sign.AUTH, account(Reason.THROTTLED, Stage.CONNECT, 421), False),
        (Sign.AUTH, REFUSED, False),
        (Sign.QUOTA, ACCEPTED, True),
        (Sign.QUOTA, NO_USER, False),
        (Sign.QUOTA, SLOWER, False),
        (Sign.QUOTA, USED_UP, False),
    ],
)
def test_a_probe_closes_it_when_what_opened_it_is_over(
    opened_by: Sign, verdict: Verdict, over: bool
) -> None:
    assert closes(opened_by, sign(verdict), verdict) is over
    assert closes(opened_by, Sign.NONE, None) is False


@pytest.mark.parametrize(
    ("verdict", "nothing"),
    [(None, True), (LATE, True), (NO_USER, True), (CUT, False), (AWAY, False), (SLOWER, False)],
)
def test_a_probe_that_found_out_nothing_is_not_spent(
    verdict: Verdict | None, nothing: bool
) -> None:
    assert unspent(sign(verdict) if verdict else Sign.NONE, verdict) is nothing


@pytest.mark.parametrize(
    ("opened_by", "said", "anew"),
    [
        (Sign.FAULT, Sign.FAULT, True),
        (Sign.FAULT, Sign.AUTH, True),
        (Sign.FAULT, Sign.QUOTA, True),
        (Sign.AUTH, Sign.QUOTA, True),
        (Sign.QUOTA, Sign.AUTH, True),
        (Sign.AUTH, Sign.FAULT, False),
        (Sign.QUOTA, Sign.FAULT, False),
        (Sign.FAULT, Sign.THROTTLE, False),
        (Sign.FAULT, Sign.LIFE, False),
    ],
)
def test_a_relay_that_is_away_does_not_answer_for_credentials_or_quota(
    opened_by: Sign, said: Sign, anew: bool
) -> None:
    assert displaces(opened_by, said) is anew
