"""A plain model of the queue: what has been promised of each recipient, kept in Python.

Its states move by TRANSITIONS alone, so that what is not legal cannot be modelled either.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from mailproxy_server.mail.delivery import Event, State, after

Key = tuple[UUID, int]
"""Message and recipient."""


@dataclass
class Promise:
    """What holds of one recipient.

    `claim_no` is the highest that was seen; `worker` who holds it; `due`: it may be claimed, were
    it not for `held`.
    """

    tenant_id: UUID
    key: Key
    labelled: bool
    at_most_once: bool
    due: bool
    held: bool
    state: State = State.QUEUED
    claim_no: int = 0
    worker: UUID | None = None
    marked: bool = False
    cancel_requested: bool = False
    events: list[Event] = field(default_factory=list)
    rounds: int = 1

    @property
    def claimable(self) -> bool:
        """Whether the next claim may take it."""
        return self.state is State.QUEUED and self.worker is None and self.due and not self.held

    @property
    def queued(self) -> bool:
        """Whether it waits, due or not."""
        return self.state is State.QUEUED and self.worker is None

    def seized(self, worker: UUID) -> None:
        """Somebody holds it from now on."""
        if self.state is State.QUEUED:
            self.state = State.SENDING
        self.worker = worker
        self.claim_no += 1

    def released(self) -> None:
        """It is in the queue again, as it was."""
        self.state, self.worker, self.marked = State.QUEUED, None, False

    def happened(self, event: Event, *, due: bool = True) -> None:
        """An outcome was written."""
        self.state = after(self.state, event)
        self.events.append(event)
        self.worker, self.marked, self.due = None, False, due

    def requeued(self, *, held: bool) -> None:
        """A new round began."""
        self.happened(Event.REQUEUED)
        self.held, self.cancel_requested = held, False
        self.rounds += 1


@dataclass
class Model:
    """All recipients of the tenants of one example."""

    promises: dict[Key, Promise] = field(default_factory=dict)

    def add(self, promise: Promise) -> None:
        """Accepted."""
        self.promises[promise.key] = promise

    def of(self, tenant_id: UUID) -> Iterator[Promise]:
        """Those of one tenant."""
        return (each for each in self.promises.values() if each.tenant_id == tenant_id)

    def of_message(self, message_id: UUID) -> list[Promise]:
        """Those of one message, in order."""
        return [each for key, each in self.promises.items() if key[0] == message_id]

    def held_by(self, workers: Iterable[UUID]) -> list[Promise]:
        """Those that one of these holds."""
        known = set(workers)
        return [each for each in self.promises.values() if each.worker in known]

    def reports(self, tenant_id: UUID) -> int:
        """How many reports the tenant has."""
        return sum(len(each.events) for each in self.of(tenant_id))
