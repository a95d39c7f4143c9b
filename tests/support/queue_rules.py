"""What Hypothesis may do to the queue: callers, operators, dispatchers, crashes and time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from mailproxy_server.mail.delivery import Outcome, Reason, State
from mailproxy_server.mail.transcript import Reply
from mailproxy_server.queue import (
    cancel,
    claim,
    expire,
    holds,
    pauses,
    requeue,
    reschedule,
    workers,
)
from mailproxy_server.queue.chosen import Chosen, Found, walk
from mailproxy_server.queue.ids import born
from mailproxy_server.queue.pauses import Paused
from mailproxy_server.queue.settle import Settlement

from tests.support.driven import EXPIRE, PASS, key
from tests.support.model import Promise
from tests.support.queue import SENT, Queue
from tests.support.queue_steps import QueueSteps

NEWS = Paused(labels={"kind": "news"})
OUTCOMES = {
    "sent": SENT,
    "refused": Outcome.failed(Reason.RECIPIENT_REFUSED, Reply(550)),
    "again": Outcome.deferred(Reason.RECIPIENT_REFUSED, 0.0, Reply(451)),
    "later": Outcome.deferred(Reason.RECIPIENT_REFUSED, 3600.0, Reply(451)),
    "spared": Outcome.spare(Reason.THROTTLED, Reply(421)),
}
outcomes = st.sampled_from(sorted(OUTCOMES))
which = st.integers(min_value=0, max_value=1)
some = st.integers(min_value=0)
yes = st.booleans()


class QueueRules(QueueSteps):
    """Each number chooses one of those that there are."""

    @rule(who=which, to=st.integers(1, 3), soon=yes, news=yes, once=yes)
    def submit(self, who: int, to: int, soon: bool, news: bool, once: bool) -> None:
        queue = self.queues[who]
        send_at = None if soon else datetime.now(UTC) + timedelta(hours=1)
        message = queue.message([f"u{number}@b.test" for number in range(to)], send_at=send_at)
        labels = '{"kind": "news"}' if news else None
        message = replace(message, labels=labels, at_most_once=once)
        self.database.run(queue.submit(message))
        for number in range(to):
            place = message.message_id, number
            held = news and self.paused(queue)
            self.model.add(Promise(queue.tenant_id, place, news, once, due=soon, held=held))

    @rule(who=which, worker=which, limit=st.integers(1, 4), limited=yes)
    def claim(self, who: int, worker: int, limit: int, limited: bool) -> None:
        take = self.take_within if limited else self.take
        take(self.queues[who], self.alive[worker], limit)

    @precondition(lambda self: any(each.claimable for each in self.model.promises.values()))
    @rule(worker=which, limit=st.integers(1, 4), limited=yes)
    def claim_what_is_due(self, worker: int, limit: int, limited: bool) -> None:
        for who, queue in enumerate(self.queues):
            if any(each.claimable for each in self.of(queue)):
                self.claim(who, worker, limit, limited)

    @rule(limit=st.integers(1, 8))
    def change_the_limit(self, limit: int) -> None:
        self.limit = limit

    @precondition(lambda self: self.claims)
    @rule(choice=some, outcome=outcomes)
    def settle_any(self, choice: int, outcome: str) -> None:
        """One of all claims there ever were: most of them are over."""
        self.settle(self.claims[choice % len(self.claims)], OUTCOMES[outcome])

    @precondition(lambda self: any(map(self.holds, self.claims)))
    @rule(choice=some, outcome=outcomes, marked=yes)
    def settle_ours(self, choice: int, outcome: str, marked: bool) -> None:
        ours = [held for held in self.claims if self.holds(held)]
        held = ours[choice % len(ours)]
        if marked and self.model.promises[key(held[1])].at_most_once:
            self.mark(held)
        self.settle(held, OUTCOMES[outcome])

    @precondition(lambda self: self.claims)
    @rule(choice=some)
    def release_any(self, choice: int) -> None:
        self.release(self.claims[choice % len(self.claims)])

    @rule(number=which, mark=yes)
    def a_worker_dies(self, number: int, mark: bool) -> None:
        """And another one takes its place; nobody has looked after what it held."""
        dead = self.alive[number]
        if mark:
            for held in [each for each in self.claims if each[0] == dead and self.holds(each)]:
                if self.model.promises[key(held[1])].at_most_once:
                    self.mark(held)
        declared = workers.declare_dead(self.database.link, dead, None)
        assert self.database.run(declared)
        self.alive[number] = self.database.worker()

    @rule()
    def rescue_all(self) -> None:
        orphaned = set(self.database.run(workers.orphaned(self.database.link)))
        holding = {each.worker for each in self.model.promises.values() if each.worker}
        assert orphaned == holding - set(self.alive)
        for dead in sorted(orphaned):
            self.rescue(dead)

    @precondition(lambda self: self.model.promises)
    @rule(choice=some, crash=yes)
    def cancel(self, choice: int, crash: bool) -> None:
        """Withdraw a message; who does it may die before it has settled what it seized."""
        message_id, promises = self._message(choice)
        found = self._found(promises[0].tenant_id, message_id)
        seizer = claim.seizer()
        asked = cancel.withdraw(self.database.link, promises[0].tenant_id, found, seizer)
        done = self.database.run(asked)
        waiting = {each.key for each in promises if each.queued}
        assert {key(row) for row in done.seized} == waiting
        for promise in promises:
            promise.cancel_requested |= not promise.state.final
        for row in done.seized:
            self.model.promises[key(row)].seized(seizer)
        if not crash:
            ended = [(row, Outcome.cancelled()) for row in done.seized]
            self.write_all(seizer, [Settlement(*each, attempted=False) for each in ended])
            self.happened(ended)

    @rule(why=st.sampled_from(["asked", "expired"]))
    def end_what_is_to_end(self, why: str) -> None:
        """As the keeper does."""
        seizer = claim.seizer()
        seize = cancel.seize_requested if why == "asked" else expire.seize
        outcome = Outcome.cancelled() if why == "asked" else Outcome.expired()
        rows = self.database.run(seize(self.database.link, seizer, 100))
        for row in rows:
            promise = self.model.promises[key(row)]
            assert promise.queued
            assert why == "expired" or promise.cancel_requested
            promise.seized(seizer)
        ended = [(row, outcome) for row in rows]
        self.write_all(seizer, [Settlement(*each, attempted=False) for each in ended])
        self.happened(ended)

    @precondition(lambda self: self.model.promises)
    @rule(choice=some)
    def let_expire(self, choice: int) -> None:
        """Its time is over; the keeper finds that out later."""
        message_id, _ = self._message(choice)
        self.database.run(self.database.link.execute(EXPIRE, message_id))

    @precondition(lambda self: self.model.promises)
    @rule(choice=some, soon=yes)
    def move(self, choice: int, soon: bool) -> None:
        message_id, promises = self._message(choice)
        at = datetime.now(UTC) + (timedelta(0) if soon else timedelta(hours=1))
        tenant_id = promises[0].tenant_id
        asked = reschedule.move(self.database.link, tenant_id, message_id, at, None)
        moved = self.database.run(asked)
        able = [each for each in promises if each.queued and not each.cancel_requested]
        assert moved.moved == len(able)
        for promise in able:
            promise.due = soon

    @precondition(lambda self: self.model.promises)
    @rule(choice=some)
    def retry(self, choice: int) -> None:
        """The only way out of a final state."""
        message_id, promises = self._message(choice)
        tenant_id = promises[0].tenant_id
        since = born(message_id) - timedelta(minutes=1)
        asked = requeue.requeue(self.database.link, tenant_id, message_id, since, (), None)
        back = self.database.run(asked)
        over = [each for each in promises if each.state in (State.FAILED, State.EXPIRED)]
        assert len(back) == len(over)
        for promise in over:
            promise.requeued(held=promise.labelled and self.paused_of(tenant_id))

    @rule(who=which)
    def pause_news(self, who: int) -> None:
        tenant_id = self.queues[who].tenant_id
        self.database.run(pauses.begin(self.database.link, tenant_id, NEWS, ""))
        self.database.run(holds.hold(self.database.link, tenant_id, NEWS))
        for promise in self.of(self.queues[who]):
            promise.held = promise.labelled and not promise.state.final

    @rule(who=which)
    def resume_news(self, who: int) -> None:
        tenant_id = self.queues[who].tenant_id
        self.database.run(pauses.end(self.database.link, tenant_id, NEWS))
        self.database.run(holds.free(self.database.link, tenant_id, NEWS))
        for promise in self.of(self.queues[who]):
            promise.held = False

    @rule()
    def an_hour_passes(self) -> None:
        tenants = [queue.tenant_id for queue in self.queues]
        self.database.run(self.database.link.execute(PASS, tenants))
        for promise in self.model.promises.values():
            promise.due |= promise.queued

    def let_everything_go(self) -> None:
        """Nothing holds anything back any more: all must come to an end."""
        for who in range(len(self.queues)):
            self.resume_news(who)
        for number in range(len(self.alive)):
            self.a_worker_dies(number, mark=False)
        self.rescue_all()
        self.end_what_is_to_end("asked")
        self.an_hour_passes()
        for queue in self.queues:
            while any(each.claimable for each in self.of(queue)):
                self.take(queue, self.alive[0], 3)
        for held in [each for each in self.claims if self.holds(each)]:
            self.settle(held, SENT)

    def paused(self, queue: Queue) -> bool:
        return self.paused_of(queue.tenant_id)

    def paused_of(self, tenant_id: UUID) -> bool:
        return bool(self.database.run(pauses.of_tenant(self.database.link, tenant_id)))

    def _message(self, choice: int) -> tuple[UUID, list[Promise]]:
        ids = sorted({each[0] for each in self.model.promises})
        message_id = ids[choice % len(ids)]
        return message_id, self.model.of_message(message_id)

    def _found(self, tenant_id: UUID, message_id: UUID) -> list[Found]:
        async def all_of_it() -> list[Found]:
            chosen = Chosen(message_ids=[message_id])
            walked = walk(self.database.link, tenant_id, chosen)
            return [one async for some_of_it in walked for one in some_of_it]

        return self.database.run(all_of_it())
