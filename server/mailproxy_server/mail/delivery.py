"""The life of a delivery: its states, the events that move it, and the outcome of an attempt.

`TRANSITIONS` is the one table; the SQL CHECK, the diagram in the docs and the tests'
model derive from it. Numbers are those of the contract (mailproxy.v1).
"""

from dataclasses import dataclass
from enum import IntEnum

from mailproxy_server.mail.transcript import Reply, Stage


class Priority(IntEnum):
    """What goes first within an account; lower goes first."""

    IMMEDIATE = 10
    HIGH = 20
    MEDIUM = 30
    LOW = 40


class State(IntEnum):
    """Where a delivery stands. From SENT on, final."""

    QUEUED = 1
    SENDING = 2
    SENT = 3
    FAILED = 4
    EXPIRED = 5
    CANCELLED = 6
    CAPTURED = 7

    @property
    def final(self) -> bool:
        """Whether nothing but a requeue leads out of it."""
        return self >= State.SENT


class Event(IntEnum):
    """What is written to the report log. From BREAKER_OPENED on it concerns an account."""

    DEFERRED = 1
    SENT = 2
    FAILED = 3
    EXPIRED = 4
    CANCELLED = 5
    CAPTURED = 6
    REQUEUED = 7
    BREAKER_OPENED = 10
    BREAKER_CLOSED = 11


class Reason(IntEnum):
    """Why an attempt did not succeed; by scope (see `FailureReason` in the contract)."""

    NONE = 0
    RECIPIENT_REFUSED = 10
    SENDER_REFUSED = 20
    CONTENT_REFUSED = 30
    TOO_LARGE = 31
    NEEDS_SMTPUTF8 = 32
    NEEDS_8BITMIME = 33
    ATTACHMENT_UNAVAILABLE = 34
    SUBMISSION_INVALID = 35
    THROTTLED = 40
    RATE_LIMITED = 41
    QUOTA_EXHAUSTED = 42
    RELAY_UNREACHABLE = 50
    RELAY_AUTH = 51
    RELAY_TLS = 52
    INTERRUPTED = 60
    OUTCOME_UNKNOWN = 61
    RETRIES_EXHAUSTED = 62
    ACCOUNT_DELETED = 70


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.EXPIRED): State.EXPIRED,
    (State.QUEUED, Event.CANCELLED): State.CANCELLED,
    (State.SENDING, Event.SENT): State.SENT,
    (State.SENDING, Event.DEFERRED): State.QUEUED,
    (State.SENDING, Event.FAILED): State.FAILED,
    (State.SENDING, Event.EXPIRED): State.EXPIRED,
    (State.SENDING, Event.CANCELLED): State.CANCELLED,
    (State.SENDING, Event.CAPTURED): State.CAPTURED,
    (State.FAILED, Event.REQUEUED): State.QUEUED,
    (State.EXPIRED, Event.REQUEUED): State.QUEUED,
}
"""What each event does to each state. Claim and release (queued ⇄ sending) are not events:
they leave no report."""


class IllegalTransition(Exception):
    """An event that the state does not permit; nothing was changed."""


def after(state: State, event: Event) -> State:
    """Give the state that follows `event` in `state`; raise `IllegalTransition` if none does."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event.name} is not possible in {state.name}") from None


FINAL_EVENTS = frozenset(event for (_, event), state in TRANSITIONS.items() if state.final)
"""Events after which the delivery is final."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt at one recipient came to. Made by its constructors only.

    `retry_in` (seconds) is set exactly when the event is DEFERRED. `possible_duplicate`:
    this attempt may have been delivered although its reply was not seen. `spared`: the relay
    blamed the account, so the attempt is not counted and the delivery keeps its place.
    `detail` are our own words, "" for none.
    """

    event: Event
    reason: Reason = Reason.NONE
    reply: Reply | None = None
    stage: Stage | None = None
    retry_in: float | None = None
    possible_duplicate: bool = False
    relay_message_id: str = ""
    spared: bool = False
    detail: str = ""

    @property
    def final(self) -> bool:
        """Whether the delivery is over."""
        return self.event in FINAL_EVENTS

    @classmethod
    def sent(cls, reply: Reply, relay_message_id: str = "") -> "Outcome":
        """The relay answered 250 to the final dot."""
        return cls(Event.SENT, reply=reply, stage=Stage.DOT, relay_message_id=relay_message_id)

    @classmethod
    def deferred(
        cls,
        reason: Reason,
        retry_in: float,
        reply: Reply | None = None,
        stage: Stage | None = None,
        possible_duplicate: bool = False,
    ) -> "Outcome":
        """Try again in `retry_in` seconds."""
        return cls(Event.DEFERRED, reason, reply, stage, retry_in, possible_duplicate)

    @classmethod
    def spare(
        cls, reason: Reason, reply: Reply | None = None, stage: Stage | None = None
    ) -> "Outcome":
        """The account is to blame: try again in the same place, and do not count this attempt."""
        return cls(Event.DEFERRED, reason, reply, stage, 0.0, spared=True)

    @classmethod
    def failed(
        cls,
        reason: Reason,
        reply: Reply | None = None,
        stage: Stage | None = None,
        possible_duplicate: bool = False,
    ) -> "Outcome":
        """No further attempt."""
        return cls(Event.FAILED, reason, reply, stage, None, possible_duplicate)

    @classmethod
    def expired(cls) -> "Outcome":
        """The expiry came first."""
        return cls(Event.EXPIRED)

    @classmethod
    def cancelled(cls, *, possible_duplicate: bool = False) -> "Outcome":
        """Withdrawn on request; `possible_duplicate`: it may have been delivered all the same."""
        return cls(Event.CANCELLED, possible_duplicate=possible_duplicate)

    @classmethod
    def captured(cls) -> "Outcome":
        """Kept by an account in capture mode."""
        return cls(Event.CAPTURED)
