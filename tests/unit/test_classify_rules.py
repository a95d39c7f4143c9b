"""What single replies mean at their stage, and the ids found in a 250."""

import pytest
from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Fault, FaultKind, Reply, Stage
from mailproxy_server.policy.classify import Kind, Scope, judge, relay_message_id
from mailproxy_server.policy.rules import BEFORE_THE_DOT, RULES

from tests.unit.test_classify_real import REAL

MEANINGS = {
    (Kind.TRANSIENT, Scope.SENDER, Reason.SENDER_REFUSED): [
        "MAIL 451 4.3.0 lookup failed",
    ],
    (Kind.PERMANENT, Scope.SENDER, Reason.SENDER_REFUSED): [
        "MAIL 550 - no",
        "MAIL 553 5.1.7 bad address",
        "RCPT 550 5.1.8 no such domain of the sender",
        "DOT 550 5.7.60 not as this one",
    ],
    (Kind.TRANSIENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED): [
        "RCPT 450 - busy",
        "RCPT 452 4.2.2 over quota",
    ],
    (Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED): [
        "RCPT 550 5.1.1 no such user",
        "RCPT 552 5.2.2 full",
        "RCPT 552 - mailbox is full",
        "RCPT 550 - account suspended",
        "DOT 554 5.2.2 the account that you tried to reach is over quota",
        "RCPT 550 5.2.1 account is disabled",
    ],
    (Kind.TRANSIENT, Scope.RECIPIENT, Reason.THROTTLED): [
        "RCPT 452 4.5.3 one more than five",
        "DATA 550 5.5.3 one more than five",
        "RCPT 552 - one more than five",
        "DOT 554 - Transaction failed: Recipient count exceeds 50",
        "RCPT 452 4.5.3 too many recipients",
        "RCPT 552 - too many recipients",
    ],
    (Kind.TRANSIENT, Scope.CONTENT, Reason.CONTENT_REFUSED): [
        "DATA 451 - later",
        "DOT 451 4.3.0 later",
    ],
    (Kind.PERMANENT, Scope.CONTENT, Reason.CONTENT_REFUSED): [
        "DATA 554 - no",
        "DOT 554 5.7.1 spam",
        "DOT 554 5.7.9 policy",
    ],
    (Kind.PERMANENT, Scope.CONTENT, Reason.TOO_LARGE): [
        "MAIL 552 5.3.4 too big",
        "DOT 552 - too big",
    ],
    (Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_UNREACHABLE): [
        "MAIL 421 4.3.2 going",
        "DOT 421 - going",
        "MAIL 503 5.5.1 bad order",
        "EHLO 550 5.7.1 no",
        "CONNECT 450 - no",
        "RCPT 554 5.7.1 Client host rejected: Access denied",
    ],
    (Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_TLS): [
        "MAIL 530 5.7.0 Must issue a STARTTLS command first",
    ],
    (Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_AUTH): [
        "MAIL 530 5.7.0 Authentication required",
        "RCPT 535 - no",
        "AUTH 535 5.7.8 no",
        "AUTH 454 4.7.0 later",
        "RCPT 550 5.7.8 no",
        "DATA 550 5.7.11 no",
        "RCPT 550 - authentication is\nrequired",
    ],
    (Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED): [
        "CONNECT 421 4.7.0 closing",
        "CONNECT 554 - too many connections",
        "AUTH 432 4.3.2 concurrent connections limit exceeded",
        "MAIL 452 4.3.1 full",
        "MAIL 452 - full",
        "MAIL 450 4.7.1 too much mail",
        "MAIL 450 4.7.1 later",
        "RCPT 421 4.7.28 rate limited",
        "RCPT 450 - you send too fast",
        "DOT 452 4.3.1 full",
        "DOT 454 - Throttling failure: Maximum sending rate exceeded",
    ],
    (Kind.TRANSIENT, Scope.ACCOUNT, Reason.QUOTA_EXHAUSTED): [
        "AUTH 451 - Maximum credits exceeded",
        "MAIL 550 - your account was suspended",
        "MAIL 421 - domain a.test is disabled",
        "RCPT 550 5.4.5 Daily sending quota exceeded",
        "RCPT 550 5.4.5 no more today",
        "RCPT 550 - your account has been disabled",
        "DOT 454 - Throttling failure: Daily message quota exceeded",
        "DOT 550 - daily limit exceeded",
        "DOT 450 - hourly limit exceeded",
        "DOT 550 - you exceeded your sending limit",
        "DOT 550 - you exceeded the daily sending quota",
        "DOT 554 - Message rejected: Sending paused for this account",
        "DOT 554 - account is deactivated",
        "DOT 552 5.2.2 your mailbox is full",
        "DOT 554 5.2.2 no room",
        "DOT 552 - mailbox full",
    ],
}
"""Stage, basic code, enhanced code and words. Whatever concerns the account is transient."""

HARD = ("AUTH 535 5.7.8 no", "RCPT 535 - no", "RCPT 550 5.7.8 no", "MAIL 530 5.7.0 login, please")
NOT_HARD = ("AUTH 454 4.7.0 later", "MAIL 530 5.7.0 STARTTLS", "RCPT 550 - authentication required")


def parsed(said: str) -> tuple[Stage, Reply]:
    stage, code, enhanced, text = said.split(" ", 3)
    return Stage(stage), Reply(int(code), enhanced.strip("-"), text)


@pytest.mark.parametrize(
    ("said", "meaning"), [(said, meaning) for meaning in MEANINGS for said in MEANINGS[meaning]]
)
def test_a_reply_means_what_its_stage_and_codes_say(
    said: str, meaning: tuple[Kind, Scope, Reason]
) -> None:
    means = judge(*parsed(said))
    assert (means.kind, means.scope, means.reason) == meaning


@pytest.mark.parametrize("said", [*HARD, *NOT_HARD])
def test_credentials_refused_for_good_call_an_operator_and_others_do_not(said: str) -> None:
    assert judge(*parsed(said)).hard == (said in HARD)
    assert judge(Stage.AUTH, Fault(FaultKind.AUTH)).hard
    assert not judge(Stage.AUTH, Fault(FaultKind.TIMEOUT)).hard


@pytest.mark.parametrize(
    "address", ["throttled@b.test", '"sending paused for"@b.test', "a@too.throttling.test"]
)
def test_the_words_of_an_address_decide_nothing(address: str) -> None:
    means = judge(Stage.RCPT, Reply(550, "5.1.1", f"<{address}>: no such user"))
    assert (means.kind, means.scope) == (Kind.PERMANENT, Scope.RECIPIENT)


def test_a_rule_about_the_account_condemns_no_message_whatever_the_code() -> None:
    about = [rule for rule in RULES if rule.scope is Scope.ACCOUNT]
    kinds = {rule.means(Reply(code)).kind for rule in about for code in range(400, 600)}
    assert kinds == {Kind.TRANSIENT}


def test_control_without_the_rules_about_the_account_its_daily_limit_fails_a_message() -> None:
    said = parsed("DOT 550 5.4.5 Daily user sending limit exceeded")
    others = [rule for rule in RULES if rule.scope is not Scope.ACCOUNT]
    first = next(rule for rule in others if rule.fits(*said))
    assert judge(*said).kind is Kind.TRANSIENT
    assert first.means(said[1]).kind is Kind.PERMANENT


def test_every_rule_decides_something_and_says_why_and_where_it_is_told() -> None:
    replies = [parsed(said) for meaning in MEANINGS for said in MEANINGS[meaning]]
    replies += [(real.stage, real.reply) for real in REAL]
    deciding = {next(rule for rule in RULES if rule.fits(*each)) for each in replies}
    assert [rule for rule in RULES if rule not in deciding] == []
    assert all(rule.why and rule.source for rule in RULES)


@pytest.mark.parametrize("stage", list(Stage))
def test_every_reply_and_every_fault_means_something_at_every_stage(stage: Stage) -> None:
    if stage in (Stage.RSET, Stage.QUIT):
        return
    for code in range(200, 600):
        kind = judge(stage, Reply(code)).kind
        assert (kind is Kind.ACCEPTED) == (stage is Stage.DOT and code < 400)
    for fault in FaultKind:
        uncertain = judge(stage, Fault(fault)).kind is Kind.UNCERTAIN
        held_back = fault in BEFORE_THE_DOT
        assert uncertain == (stage is Stage.DOT and not held_back)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Ok: queued as 4XyZ12Ab3Cz", "4XyZ12Ab3Cz"),
        ("from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 77B2", "77B2"),
        ("Ok: queued as uXkFo3mNQqGb7A-1_x", "uXkFo3mNQqGb7A-1_x"),
        ("OK id=1rXyZa-0004Qm-2B", "1rXyZa-0004Qm-2B"),
        ("3B1E2fGh012345 Message accepted for delivery", "3B1E2fGh012345"),
        ("Ok 0100018c1a2b3c4d-11aa-000000", "0100018c1a2b3c4d-11aa-000000"),
        ("OK  1700000000 a12-20020a05cc.12 - gsmtp", "a12-20020a05cc.12"),
        ("<x@y.test> [InternalId=1234567, Hostname=A.B] Queued mail for delivery", "1234567"),
        ("ok 1700000000 qp 4321", "4321"),
        ("Message Queued (9C2F-11.1)", "9C2F-11.1"),
        ("OK", ""),
        ("Great success", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_relays_own_id_is_found_in_its_words(text: str, found: str) -> None:
    assert relay_message_id(Reply(250, "2.0.0", text)) == found
