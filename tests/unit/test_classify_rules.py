"""What single replies mean at their stage, and the ids found in a 250."""

import pytest
from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Fault, FaultKind, Reply, Stage
from mailproxy_server.policy.classify import Kind, Scope, judge, relay_message_id

MEANINGS = {
    (Kind.TRANSIENT, Scope.SENDER, Reason.SENDER_REFUSED): [
        "MAIL 451 4.3.0 lookup failed",
    ],
    (Kind.PERMANENT, Scope.SENDER, Reason.SENDER_REFUSED): [
        "MAIL 550 - no",
        "MAIL 553 5.1.7 bad address",
    ],
    (Kind.TRANSIENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED): [
        "RCPT 450 - busy",
        "RCPT 452 4.2.2 over quota",
    ],
    (Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED): [
        "RCPT 550 5.1.1 no such user",
        "RCPT 552 5.2.2 full",
        "RCPT 550 5.2.1 account is disabled",
    ],
    (Kind.TRANSIENT, Scope.RECIPIENT, Reason.THROTTLED): [
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
    ],
    (Kind.PERMANENT, Scope.CONTENT, Reason.TOO_LARGE): [
        "MAIL 552 5.3.4 too big",
        "DOT 552 - too big",
    ],
    (Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_UNREACHABLE): [
        "MAIL 421 4.3.2 going",
        "DOT 421 - going",
        "MAIL 503 5.5.1 bad order",
    ],
    (Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_TLS): [
        "MAIL 530 5.7.0 Must issue a STARTTLS command first",
    ],
    (Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_AUTH): [
        "MAIL 530 5.7.0 Authentication required",
        "RCPT 535 - no",
    ],
    (Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED): [
        "MAIL 452 4.3.1 full",
        "MAIL 450 4.7.1 too much mail",
        "RCPT 421 4.7.28 rate limited",
        "RCPT 550 5.4.5 Daily sending quota exceeded",
        "DOT 452 4.3.1 full",
        "DOT 454 - Throttling failure: Maximum sending rate exceeded",
        "DOT 554 - Message rejected: Sending paused for this account",
        "DOT 552 5.2.2 your mailbox is full",
    ],
}
"""Stage, basic code, enhanced code and words. Whatever concerns the account is transient."""


@pytest.mark.parametrize(
    ("said", "meaning"), [(said, meaning) for meaning in MEANINGS for said in MEANINGS[meaning]]
)
def test_a_reply_means_what_its_stage_and_codes_say(
    said: str, meaning: tuple[Kind, Scope, Reason]
) -> None:
    stage, code, enhanced, text = said.split(" ", 3)
    means = judge(Stage(stage), Reply(int(code), enhanced.strip("-"), text))
    assert (means.kind, means.scope, means.reason) == meaning


@pytest.mark.parametrize("stage", list(Stage))
def test_every_reply_and_every_fault_means_something_at_every_stage(stage: Stage) -> None:
    if stage in (Stage.RSET, Stage.QUIT):
        return
    for code in range(200, 600):
        kind = judge(stage, Reply(code)).kind
        assert (kind is Kind.ACCEPTED) == (stage is Stage.DOT and code < 400)
    for fault in FaultKind:
        uncertain = judge(stage, Fault(fault)).kind is Kind.UNCERTAIN
        held_back = fault in (FaultKind.LEASE_LOST, FaultKind.DRAINING)
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
