"""What a lane has heard: faults in a row, graver causes, probes, and a changed account."""

import pytest
from mailproxy_server.dispatcher.hearsay import Heard, Hearsay, Said
from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Reply, Stage
from mailproxy_server.policy.breaker import FAULTS_TO_OPEN, Sign
from mailproxy_server.policy.classify import Kind, Scope, Verdict

ACCEPTED = Verdict(Kind.ACCEPTED, Scope.RECIPIENT, Reason.NONE, Reply(250), Stage.DOT)
AWAY = Verdict(Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_UNREACHABLE, None, Stage.CONNECT)
REFUSED = Verdict(
    Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_AUTH, Reply(535), Stage.AUTH, hard=True
)
SLOWER = Verdict(Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED, Reply(451), Stage.MAIL)


def heard(hearsay: Hearsay, *verdicts: Verdict) -> Hearsay:
    for verdict in verdicts:
        hearsay.hear([verdict], "")
    return hearsay


def test_faults_are_trouble_once_there_are_five_in_a_row() -> None:
    hearsay = heard(Hearsay(), *[AWAY] * (FAULTS_TO_OPEN - 1))
    assert not hearsay.pending
    assert heard(hearsay, AWAY).take() == Heard(trouble=Said(Sign.FAULT, AWAY))


def test_a_sign_of_life_begins_the_count_anew() -> None:
    hearsay = heard(Hearsay(), *[AWAY] * 4, ACCEPTED, *[AWAY] * 4)
    assert not hearsay.pending
    assert heard(hearsay, AWAY).pending


def test_what_was_taken_out_is_not_counted_again() -> None:
    hearsay = heard(Hearsay(), *[AWAY] * 7)
    hearsay.take()
    assert not heard(hearsay, *[AWAY] * 4).pending


def test_a_closed_breaker_begins_the_count_anew() -> None:
    hearsay = Hearsay()
    hearsay.generation(1)
    heard(hearsay, *[AWAY] * 4)
    hearsay.generation(1)
    heard(hearsay, AWAY)
    assert hearsay.take().trouble, "control: the same generation goes on counting"
    heard(hearsay, *[AWAY] * 4)
    hearsay.generation(2)
    assert not heard(hearsay, *[AWAY] * 4).pending


def test_the_graver_trouble_stands() -> None:
    assert heard(Hearsay(), *[AWAY] * 5, REFUSED).take().trouble == Said(Sign.AUTH, REFUSED)
    assert heard(Hearsay(), REFUSED, *[AWAY] * 5).take().trouble == Said(Sign.AUTH, REFUSED)


def test_the_first_thing_heard_while_probing_is_the_result_and_only_that() -> None:
    hearsay = Hearsay()
    hearsay.probing = True
    heard(hearsay, AWAY, ACCEPTED)
    assert hearsay.take() == Heard(result=Said(Sign.FAULT, AWAY))
    assert not hearsay.probing


def test_a_probe_that_was_not_sent_has_a_result_too() -> None:
    hearsay = Hearsay()
    hearsay.hear((), "")
    assert not hearsay.pending, "control: without a probe nothing at all is nothing"
    hearsay.probing = True
    hearsay.hear((), "")
    assert hearsay.take() == Heard(result=Said(Sign.NONE, None))


def test_what_could_not_be_written_stands_beside_what_was_heard_since() -> None:
    hearsay = heard(Hearsay(), REFUSED)
    first = hearsay.take()
    heard(hearsay, SLOWER, *[AWAY] * 5)
    hearsay.put_back(first)
    assert hearsay.take() == Heard(trouble=Said(Sign.AUTH, REFUSED), throttled=True)


@pytest.mark.parametrize(("revision", "left"), [(1, True), (2, False)])
def test_a_changed_account_is_blamed_for_nothing_that_came_before(
    revision: int, left: bool
) -> None:
    hearsay = Hearsay()
    hearsay.revision(1)
    heard(hearsay, REFUSED, *[AWAY] * 4)
    hearsay.revision(revision)
    assert hearsay.pending is left


def test_faults_of_a_changed_account_are_counted_anew() -> None:
    hearsay = Hearsay()
    hearsay.revision(1)
    heard(hearsay, *[AWAY] * 4)
    hearsay.revision(2)
    assert not heard(hearsay, *[AWAY] * 4).pending


def test_a_probe_that_used_the_old_password_is_not_held_against_the_new_one() -> None:
    hearsay = Hearsay()
    hearsay.revision(1)
    hearsay.probing = True
    hearsay.revision(2)
    assert not heard(hearsay, REFUSED).pending
    assert heard(hearsay, REFUSED).take().trouble == Said(Sign.AUTH, REFUSED)
