"""The life of a delivery: the table of transitions, and the outcomes that move it."""

import pytest
from mailproxy.v1 import delivery_pb2
from mailproxy_server.mail.delivery import (
    FINAL_EVENTS,
    TRANSITIONS,
    Event,
    IllegalTransition,
    Outcome,
    Priority,
    Reason,
    State,
    after,
)
from mailproxy_server.mail.transcript import Reply

EVERY = [(state, event) for state in State for event in Event]


@pytest.mark.parametrize(("state", "event"), EVERY)
def test_a_transition_is_in_the_table_or_illegal(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert after(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"{event.name} is not possible"):
            after(state, event)


def test_nothing_but_a_requeue_leads_out_of_a_final_state() -> None:
    leaving = {event for (state, event) in TRANSITIONS if state.final}
    assert leaving == {Event.REQUEUED}


def test_final_events_are_those_that_end_a_delivery() -> None:
    assert {event.name for event in FINAL_EVENTS} == {
        "SENT",
        "FAILED",
        "EXPIRED",
        "CANCELLED",
        "CAPTURED",
    }


def test_only_a_deferred_outcome_has_a_retry_and_is_not_final() -> None:
    outcomes = [
        Outcome.sent(Reply(250)),
        Outcome.deferred(Reason.THROTTLED, 1.0),
        Outcome.failed(Reason.RECIPIENT_REFUSED),
        Outcome.expired(),
        Outcome.cancelled(),
        Outcome.captured(),
    ]
    assert [outcome.final for outcome in outcomes] == [True, False, True, True, True, True]
    assert [outcome.retry_in is None for outcome in outcomes] == [
        outcome.final for outcome in outcomes
    ]


@pytest.mark.parametrize(
    ("ours", "prefix", "theirs"),
    [
        (State, "DELIVERY_STATE_", delivery_pb2.DeliveryState),
        (Event, "REPORT_EVENT_", delivery_pb2.ReportEvent),
        (Priority, "PRIORITY_", delivery_pb2.Priority),
    ],
)
def test_numbers_are_those_of_the_contract(ours: type, prefix: str, theirs: object) -> None:
    named = {f"{prefix}{one.name}": one.value for one in ours}  # type: ignore[attr-defined]
    contract = dict(theirs.items())  # type: ignore[attr-defined]
    del contract[f"{prefix}UNSPECIFIED"]
    assert named == contract


def test_reasons_are_those_of_the_contract() -> None:
    contract = dict(delivery_pb2.FailureReason.items())
    named = {f"FAILURE_REASON_{one.name}": one.value for one in Reason if one is not Reason.NONE}
    del contract["FAILURE_REASON_UNSPECIFIED"]
    assert named == contract
