"""What dispatchers do to the queue, step by step, beside the model."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

from hypothesis.stateful import RuleBasedStateMachine
from mailproxy_server.dispatcher.keeper import rescued
from mailproxy_server.dispatcher.rated import claim_within
from mailproxy_server.mail.delivery import Event, Outcome
from mailproxy_server.policy.windows import Limit, Unit
from mailproxy_server.queue import claim, marks, reserve, settle
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.settle import Settlement

from tests.support.driven import REPORTS, STANDING, Driven, key
from tests.support.model import Model, Promise
from tests.support.queue import OPEN, Queue
from tests.support.rated import account

Held = tuple[UUID, Claimed]
"""A worker and what it claimed."""


class QueueSteps(RuleBasedStateMachine):
    """`settle_sql` and `write` are others in machines that show what they are good for."""

    database: ClassVar[Driven]
    settle_sql: ClassVar[str] = settle.SETTLE
    write: ClassVar[Any] = staticmethod(reserve.write)

    def __init__(self) -> None:
        super().__init__()
        self.queues: list[Queue] = []
        self.model = Model()
        self.alive: list[UUID] = []
        self.claims: list[Held] = []
        """All that were ever made."""
        self.limit = 4
        self.reserved: dict[UUID, int] = {}
        self.rationed: list[tuple[int, int]] = []
        """After each claim under a limit: what was reserved in all, and the limit."""

    def open(self, queues: list[Queue]) -> None:
        self.queues = queues
        self.alive = [self.database.worker() for _ in range(2)]

    def of(self, queue: Queue) -> list[Promise]:
        return list(self.model.of(queue.tenant_id))

    def standing(self) -> list[Any]:
        return self.database.fetch(STANDING, [queue.tenant_id for queue in self.queues])

    def reports(self, queue: Queue) -> list[Any]:
        return self.database.fetch(REPORTS, queue.tenant_id)

    def take(self, queue: Queue, worker: UUID, limit: int) -> None:
        """Claim: as many as there are, up to the limit, and no other ones."""
        link = self.database.link
        asked = claim.claim(link, queue.tenant_id, "demo", worker, OPEN, limit)
        got = self.database.run(asked)
        rows = got.rows if got else []
        able = [each for each in self.of(queue) if each.claimable]
        assert len(rows) == min(limit, len(able)), "nothing due is forgotten"
        self.claimed(worker, rows)

    def take_within(self, queue: Queue, worker: UUID, limit: int) -> None:
        """Claim under the account's limit."""
        by = account(queue, Limit(self.limit, 86400.0, Unit.RECIPIENTS), most=1)
        asked = claim_within(
            self.database.link, by, worker, OPEN, limit, limit, write=type(self).write
        )
        found = self.database.run(asked)
        rows = found.claim.rows if found.claim else []
        before = self.reserved.get(queue.tenant_id, 0)
        able = len([each for each in self.of(queue) if each.claimable])
        room = max(0, self.limit - before)
        assert len(rows) >= min(limit, able, room), "what there is room for is used"
        self.reserved[queue.tenant_id] = before + len(rows)
        if rows:
            self.rationed.append((before + len(rows), self.limit))
        self.claimed(worker, rows)

    def claimed(self, worker: UUID, rows: Iterable[Claimed]) -> None:
        for row in rows:
            promise = self.model.promises[key(row)]
            assert promise.claimable, promise
            promise.seized(worker)
            assert row.claim_no == promise.claim_no
            self.claims.append((worker, row))

    def mark(self, held: Held) -> None:
        """Say before the dot that it may have left."""
        worker, row = held
        ours = self.holds(held)
        marked = self.database.run(marks.mark(self.database.link, worker, [row]))
        assert marked == ours
        if ours:
            self.model.promises[key(row)].marked = True

    def holds(self, held: Held) -> bool:
        """Whether the model says that this claim is still the one that counts."""
        worker, row = held
        promise = self.model.promises[key(row)]
        return (promise.worker, promise.claim_no) == (worker, row.claim_no)

    def settle(self, held: Held, outcome: Outcome) -> None:
        """Write an outcome; it must land exactly when the claim still counts."""
        worker, row = held
        ours = self.holds(held)
        written = self.write_all(worker, [Settlement(row, outcome)])
        assert (key(row) in written) == ours, "a stale settle lands nowhere"
        if ours:
            self.happened([(row, outcome)])

    def write_all(self, worker: UUID, batch: Sequence[Settlement]) -> set[tuple[UUID, int]]:
        if not batch:
            return set()
        link = self.database.link
        keys = self.database.run(settle.settle(link, worker, batch, type(self).settle_sql))
        return {(each[1], each[2]) for each in keys}

    def happened(self, done: Iterable[tuple[Claimed, Outcome]]) -> None:
        for row, outcome in done:
            promise = self.model.promises[key(row)]
            later = outcome.event is Event.DEFERRED and not outcome.spared and outcome.retry_in
            promise.happened(outcome.event, due=not later)

    def release(self, held: Held) -> None:
        """Give it back untried."""
        worker, row = held
        ours = self.holds(held)
        self.database.run(claim.release(self.database.link, worker, [row]))
        if ours:
            self.model.promises[key(row)].released()

    def rescue(self, dead: UUID) -> None:
        """Bring back what a dead worker held, as the keeper does."""
        sent = not claim.is_seizer(dead)
        rescuer = uuid4() if sent else claim.seizer()
        rows = self.database.run(claim.take_over(self.database.link, dead, rescuer, 100))
        theirs = {each.key for each in self.model.held_by([dead])}
        assert {key(row) for row in rows} == theirs, "all that it held, and nothing else"
        for row in rows:
            self.model.promises[key(row)].seized(rescuer)
        now = datetime.now(UTC)
        judged = [(row, rescued(row, now, sent=sent)) for row in rows]
        done = [(row, outcome) for row, outcome in judged if outcome is not None]
        untouched = [row for row, outcome in judged if outcome is None]
        batch = [Settlement(row, outcome, sent) for row, outcome in done]
        assert self.write_all(rescuer, batch) == {key(row) for row, _ in done}
        self.happened(done)
        self.database.run(claim.release(self.database.link, rescuer, untouched))
        for row in untouched:
            self.model.promises[key(row)].released()
