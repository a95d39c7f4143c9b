"""What a rescued delivery ends as: where the death was × what was asked meanwhile."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from mailproxy_server.dispatcher.keeper import rescued
from mailproxy_server.mail.delivery import Event, Reason
from mailproxy_server.queue.claim import Claimed, is_seizer, seizer

NOW = datetime(2026, 12, 1, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1)

ROW = Claimed(
    tenant_id=uuid4(), message_id=uuid4(), recipient_no=0, account_id="demo",
    recipient="b@b.test", priority=30, due_at=PAST, attempts=0, claim_no=1, doubtful=False,
    cancel_requested=False, marked=False, spared=0, expire_at=None, round_at=None,
    claimed_at=PAST,
)  # fmt: skip
WITHDRAWN, MARKED = {"cancel_requested": True}, {"marked": True}
EXPIRED, LATER = {"expire_at": PAST}, {"expire_at": FUTURE}


@pytest.mark.parametrize(
    ("sent", "asked", "event", "reason", "duplicate"),
    [
        # It died over the attempt: before MAIL or after the dot, nobody knows.
        (True, {}, Event.DEFERRED, Reason.INTERRUPTED, True),
        (True, EXPIRED, Event.DEFERRED, Reason.INTERRUPTED, True),
        (True, WITHDRAWN, Event.CANCELLED, Reason.NONE, True),
        (True, WITHDRAWN | EXPIRED, Event.CANCELLED, Reason.NONE, True),
        (True, MARKED, Event.FAILED, Reason.OUTCOME_UNKNOWN, True),
        (True, MARKED | WITHDRAWN, Event.FAILED, Reason.OUTCOME_UNKNOWN, True),
        # It died over ending it: nothing was tried.
        (False, WITHDRAWN, Event.CANCELLED, Reason.NONE, False),
        (False, WITHDRAWN | EXPIRED, Event.CANCELLED, Reason.NONE, False),
        (False, EXPIRED, Event.EXPIRED, Reason.NONE, False),
    ],
)
def test_a_rescued_delivery_says_what_is_not_known(
    sent: bool, asked: dict[str, object], event: Event, reason: Reason, duplicate: bool
) -> None:
    outcome = rescued(ROW._replace(**asked), NOW, sent=sent)  # type: ignore[arg-type]
    assert outcome is not None
    assert (outcome.event, outcome.reason) == (event, reason)
    assert outcome.possible_duplicate is duplicate


@pytest.mark.parametrize("asked", [{}, LATER])
def test_what_was_seized_for_no_reason_that_still_holds_goes_back(asked: dict[str, object]) -> None:
    assert rescued(ROW._replace(**asked), NOW, sent=False) is None  # type: ignore[arg-type]


def test_an_id_of_who_only_ends_deliveries_is_told_from_a_workers() -> None:
    assert is_seizer(seizer())
    assert not is_seizer(uuid4())
    assert seizer() != seizer()
