"""What single replies mean at their stage, and the ids found in a 250."""

import pytest
from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Fault, FaultKind, Reply, Stage
from mailproxy_server.policy.classify import Kind, Scope, judge, relay_message_id

TABLE = [
    # RFC 5321 section 4.2.1 and 4.3.2, by stage
    ("MAIL", 451, "4.3.0", "lookup failed", Kind.TRANSIENT, Scope.SENDER, Reason.SENDER_REFUSED),
    ("MAIL", 550, "", "no", Kind.PERMANENT, Scope.SENDER, Reason.SENDER_REFUSED),
    ("MAIL", 553, "5.1.7", "bad", Kind.PERMANENT, Scope.SENDER, Reason.SENDER_REFUSED),
    ("MAIL", 552, "5.3.4", "too big", Kind.PERMANENT, Scope.CONTENT, Reason.TOO_LARGE),
    ("MAIL", 452, "4.3.1", "full", Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED),
    ("MAIL", 450, "4.7.1", "too much", Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED),
    ("RCPT", 450, "", "busy", Kind.TRANSIENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED),
    ("RCPT", 452, "4.2.2", "over quota", Kind.TRANSIENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED),
    ("RCPT", 452, "4.5.3", "many", Kind.TRANSIENT, Scope.RECIPIENT, Reason.THROTTLED),
    ("RCPT", 552, "", "many", Kind.TRANSIENT, Scope.RECIPIENT, Reason.THROTTLED),
    ("RCPT", 552, "5.2.2", "full", Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED),
    ("RCPT", 550, "5.1.1", "no", Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED),
    ("RCPT", 550, "5.2.1", "account is disabled", Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED),
    ("DATA", 451, "", "later", Kind.TRANSIENT, Scope.CONTENT, Reason.CONTENT_REFUSED),
    ("DOT", 451, "4.3.0", "later", Kind.TRANSIENT, Scope.CONTENT, Reason.CONTENT_REFUSED),
    ("DOT", 452, "4.3.1", "full", Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED),
    ("DOT", 554, "5.7.1", "spam", Kind.PERMANENT, Scope.CONTENT, Reason.CONTENT_REFUSED),
    ("DOT", 552, "", "too big", Kind.PERMANENT, Scope.CONTENT, Reason.TOO_LARGE),
    # the account as a whole: never fails a message
    ("MAIL", 421, "4.3.2", "going", Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_UNREACHABLE),
    ("DOT", 421, "", "going", Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_UNREACHABLE),
    ("RCPT", 421, "4.7.28", "rate", Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED),
    ("MAIL", 503, "5.5.1", "order", Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_UNREACHABLE),
    ("MAIL", 530, "5.7.0", "Must issue a STARTTLS command first", Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_TLS),
    ("MAIL", 530, "5.7.0", "Authentication required", Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_AUTH),
    ("RCPT", 535, "", "no", Kind.TRANSIENT, Scope.ACCOUNT, Reason.RELAY_AUTH),
    ("RCPT", 550, "5.4.5", "Daily sending quota exceeded", Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED),
    ("DOT", 454, "", "Throttling failure: Maximum sending rate exceeded", Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED),
    ("DOT", 554, "", "Message rejected: Sending paused for this account", Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED),
    ("DOT", 552, "5.2.2", "mailbox full", Kind.TRANSIENT, Scope.ACCOUNT, Reason.THROTTLED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "code", "enhanced", "text", "kind", "scope", "reason"),
    TABLE,
    ids=[f"{row[0]}-{row[1]}-{row[2]}-{row[3][:12]}" for row in TABLE],
)
def test_a_reply_means_what_its_stage_and_codes_say(
    stage: str, code: int, enhanced: str, text: str, kind: Kind, scope: Scope, reason: Reason
) -> None:
    means = judge(Stage(stage), Reply(code, enhanced, text))
    assert (means.kind, means.scope, means.reason) == (kind, scope, reason)


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
