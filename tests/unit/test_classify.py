"""Verdicts of whole transcripts: whose refusal decides for whom."""

import pytest
from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Exchange, Fault, FaultKind, Reply, Stage, Transcript
from mailproxy_server.policy.classify import Kind, Scope, Verdict, classify, fewer

Said = tuple[str, Reply | Fault]

OK = Reply(250, "2.1.0", "Ok")
GO = Reply(354, "", "go on")
QUEUED = Reply(250, "2.0.0", "Ok: queued as 4XyZ12")
NO_USER = Reply(550, "5.1.1", "no such user")
CLOSED = Fault(FaultKind.CLOSED)
TIMEOUT = Fault(FaultKind.TIMEOUT)


def transcript(*said: Said) -> Transcript:
    exchanges, recipient = [], 0
    for stage, answer in said:
        number = None
        if stage == "RCPT":
            number, recipient = recipient, recipient + 1
        exchanges.append(Exchange(Stage(stage), "", answer, 0, number))
    return Transcript("mx.test:25", tuple(exchanges))


def verdicts(count: int, *said: Said) -> tuple[Verdict, ...]:
    return classify(transcript(*said), tuple(f"r{n}@b.test" for n in range(count)))


def kinds(count: int, *said: Said) -> list[tuple[Kind, Reason]]:
    return [(v.kind, v.reason) for v in verdicts(count, *said)]


def test_a_250_to_the_dot_accepts_with_the_relays_own_id() -> None:
    (verdict,) = verdicts(1, ("MAIL", OK), ("RCPT", OK), ("DATA", GO), ("DOT", QUEUED))
    assert verdict.kind is Kind.ACCEPTED
    assert (verdict.reply, verdict.stage) == (QUEUED, Stage.DOT)
    assert verdict.relay_message_id == "4XyZ12"


def test_a_refused_recipient_fails_and_the_others_are_sent() -> None:
    first, second = verdicts(
        2, ("MAIL", OK), ("RCPT", NO_USER), ("RCPT", OK), ("DATA", GO), ("DOT", QUEUED)
    )
    assert (first.kind, first.scope) == (Kind.PERMANENT, Scope.RECIPIENT)
    assert (first.reason, first.reply) == (Reason.RECIPIENT_REFUSED, NO_USER)
    assert second.kind is Kind.ACCEPTED


def test_replies_to_rcpt_decide_when_all_were_refused_whatever_follows() -> None:
    greylisted = Reply(450, "4.2.0", "greylisted")
    for ending in (
        (("DATA", Reply(554, "5.5.1", "no valid recipients")),),
        (("DATA", GO), ("DOT", Reply(554, "5.5.1", "none"))),
        (("DATA", GO), ("DOT", CLOSED)),
        (("DATA", CLOSED),),
    ):
        said = kinds(2, ("MAIL", OK), ("RCPT", NO_USER), ("RCPT", greylisted), *ending)
        assert said == [
            (Kind.PERMANENT, Reason.RECIPIENT_REFUSED),
            (Kind.TRANSIENT, Reason.RECIPIENT_REFUSED),
        ]


def test_a_refused_mail_decides_for_all_whatever_rcpt_was_answered() -> None:
    nested = Reply(503, "5.5.1", "MAIL first")
    said = kinds(
        2,
        ("MAIL", Reply(550, "5.1.8", "bad sender")),
        ("RCPT", nested),
        ("RCPT", nested),
        ("DATA", nested),
    )
    assert said == [(Kind.PERMANENT, Reason.SENDER_REFUSED)] * 2


def test_a_dialogue_that_breaks_off_before_the_dot_is_transient_for_the_undecided() -> None:
    said = kinds(3, ("MAIL", OK), ("RCPT", NO_USER), ("RCPT", OK), ("RCPT", CLOSED))
    assert said == [
        (Kind.PERMANENT, Reason.RECIPIENT_REFUSED),
        (Kind.TRANSIENT, Reason.RELAY_UNREACHABLE),
        (Kind.TRANSIENT, Reason.RELAY_UNREACHABLE),
    ]
    assert kinds(2, ("MAIL", OK), ("RCPT", TIMEOUT)) == [said[1]] * 2
    assert kinds(1, ("MAIL", CLOSED)) == [said[1]]


@pytest.mark.parametrize("kind", [FaultKind.CLOSED, FaultKind.TIMEOUT, FaultKind.PROTOCOL])
def test_no_usable_reply_after_the_dot_is_uncertain(kind: FaultKind) -> None:
    (verdict,) = verdicts(1, ("MAIL", OK), ("RCPT", OK), ("DATA", GO), ("DOT", Fault(kind)))
    assert (verdict.kind, verdict.reason) == (Kind.UNCERTAIN, Reason.OUTCOME_UNKNOWN)


def test_room_that_was_not_used_in_time_is_our_own_affair() -> None:
    (verdict,) = verdicts(1, ("CONNECT", Reply(220)), ("MAIL", Fault(FaultKind.LATE)))
    assert (verdict.kind, verdict.scope, verdict.stage) == (Kind.TRANSIENT, Scope.US, Stage.MAIL)


def test_a_dot_that_we_held_back_was_never_sent() -> None:
    held_back = Fault(FaultKind.LEASE_LOST)
    (verdict,) = verdicts(1, ("MAIL", OK), ("RCPT", OK), ("DATA", GO), ("DOT", held_back))
    assert (verdict.kind, verdict.scope) == (Kind.TRANSIENT, Scope.US)
    assert verdict.reason is Reason.INTERRUPTED


def test_a_break_in_the_content_is_before_the_dot() -> None:
    said = kinds(1, ("MAIL", OK), ("RCPT", OK), ("DATA", GO), ("DATA", CLOSED))
    assert said == [(Kind.TRANSIENT, Reason.RELAY_UNREACHABLE)]


def test_too_many_recipients_is_no_failure_where_others_were_taken() -> None:
    many = Reply(452, "4.5.3", "too many recipients")
    first, second, third = verdicts(
        3, ("MAIL", OK), ("RCPT", OK), ("RCPT", many), ("DATA", GO), ("DOT", QUEUED)
    )
    assert first.kind is Kind.ACCEPTED
    assert (second.kind, second.at_once) == (Kind.TRANSIENT, True)
    assert (third.kind, third.at_once) == (Kind.TRANSIENT, True), "not asked for at all"


def test_too_many_recipients_where_none_was_taken_waits_like_any_other() -> None:
    (verdict,) = verdicts(1, ("MAIL", OK), ("RCPT", Reply(452, "4.5.3", "too many")))
    assert (verdict.kind, verdict.at_once) == (Kind.TRANSIENT, False)
    assert fewer((verdict,)) is None


def test_a_relay_is_asked_for_as_many_as_it_took() -> None:
    taken, many = ("RCPT", OK), ("RCPT", Reply(452, "4.5.3", "too many recipients"))
    said = verdicts(5, ("MAIL", OK), taken, taken, taken, many, ("DATA", GO), ("DOT", QUEUED))
    assert fewer(said) == 3
    lost = verdicts(2, ("MAIL", OK), taken, many, ("DATA", GO), ("DOT", CLOSED))
    assert fewer(lost) is None, "nobody knows what it took"
    assert fewer(verdicts(1, ("MAIL", OK), taken, ("DATA", GO), ("DOT", QUEUED))) is None


def test_a_relay_that_complains_after_the_last_is_asked_for_half_until_it_is_one() -> None:
    full = ("DOT", Reply(554, "", "Transaction failed: Recipient count exceeds 2."))
    before = ("MAIL", OK), *[("RCPT", OK)] * 5, ("DATA", GO)
    said = verdicts(5, *before, full)
    assert [(v.kind, v.at_once) for v in said] == [(Kind.TRANSIENT, True)] * 5
    assert fewer(said) == 2
    (alone,) = verdicts(1, ("MAIL", OK), ("RCPT", OK), ("DATA", GO), full)
    assert (alone.kind, alone.at_once) == (Kind.TRANSIENT, False)


def test_an_address_that_cannot_be_said_fails_alone() -> None:
    cannot = Fault(FaultKind.NEEDS_SMTPUTF8)
    said = kinds(2, ("RCPT", cannot), ("MAIL", OK), ("RCPT", OK), ("DATA", GO), ("DOT", QUEUED))
    assert said == [(Kind.PERMANENT, Reason.NEEDS_SMTPUTF8), (Kind.ACCEPTED, Reason.NONE)]
    said = kinds(2, ("RCPT", cannot), ("MAIL", CLOSED))
    assert said[0] == (Kind.PERMANENT, Reason.NEEDS_SMTPUTF8)
    assert said[1] == (Kind.TRANSIENT, Reason.RELAY_UNREACHABLE)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.TOO_LARGE, Reason.TOO_LARGE),
        (FaultKind.NEEDS_SMTPUTF8, Reason.NEEDS_SMTPUTF8),
        (FaultKind.NEEDS_8BITMIME, Reason.NEEDS_8BITMIME),
    ],
)
def test_what_the_relay_cannot_take_fails_for_all(kind: FaultKind, reason: Reason) -> None:
    connected = ("CONNECT", Reply(220)), ("EHLO", Reply(250))
    assert kinds(2, *connected, ("MAIL", Fault(kind))) == [(Kind.PERMANENT, reason)] * 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("CONNECT", Fault(FaultKind.UNREACHABLE)), Reason.RELAY_UNREACHABLE),
        (("CONNECT", Fault(FaultKind.TLS)), Reason.RELAY_TLS),
        (("CONNECT", Reply(554, "5.7.1", "not you")), Reason.RELAY_UNREACHABLE),
        (("CONNECT", Reply(421, "4.7.0", "too many connections")), Reason.THROTTLED),
        (("EHLO", TIMEOUT), Reason.RELAY_UNREACHABLE),
        (("STARTTLS", Fault(FaultKind.TLS)), Reason.RELAY_TLS),
        (("STARTTLS", Fault(FaultKind.PROTOCOL)), Reason.RELAY_TLS),
        (("STARTTLS", Reply(454, "4.7.0", "not now")), Reason.RELAY_TLS),
        (("AUTH", Reply(535, "5.7.8", "wrong")), Reason.RELAY_AUTH),
        (("AUTH", Reply(454, "4.7.0", "later")), Reason.RELAY_AUTH),
        (("AUTH", Fault(FaultKind.AUTH)), Reason.RELAY_AUTH),
    ],
)
def test_what_stops_the_connection_never_fails_a_message(said: Said, reason: Reason) -> None:
    first, second = verdicts(2, ("CONNECT", Reply(220)), said)
    assert first == second
    assert first.hard == (said[1] in (Reply(535, "5.7.8", "wrong"), Fault(FaultKind.AUTH)))
    assert (first.kind, first.scope, first.reason) == (Kind.TRANSIENT, Scope.ACCOUNT, reason)


def test_a_mechanism_that_failed_before_another_succeeded_decides_nothing() -> None:
    auth = ("AUTH", Reply(504)), ("AUTH", Reply(235))
    said = kinds(1, *auth, ("MAIL", OK), ("RCPT", OK), ("DATA", GO), ("DOT", QUEUED))
    assert said == [(Kind.ACCEPTED, Reason.NONE)]


def test_a_transcript_in_which_nothing_was_decided_is_an_interruption() -> None:
    for said in ((), (("CONNECT", Reply(220)),), (("MAIL", OK), ("RCPT", OK), ("DATA", GO))):
        assert kinds(1, *said) == [(Kind.TRANSIENT, Reason.INTERRUPTED)]
