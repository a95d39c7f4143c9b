"""Whatever is done to the queue, in whatever order: no promise of it is broken.

Hypothesis chooses what is done to a real queue of two tenants; a plain model says what must be
true after each step. Time passes by hand. Three machines are broken on purpose, and found out.
"""

import sys
from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import initialize, invariant, run_state_machine_as_test
from mailproxy_server.mail.delivery import FINAL_EVENTS, Event
from mailproxy_server.queue import settle

from tests.support.driven import Driven
from tests.support.queue_rules import QueueRules
from tests.support.rated import unwritten

thorough = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
unshrunk = settings(thorough, max_examples=200, phases=[Phase.generate], print_blob=False)


class QueueMachine(QueueRules):
    """The real queue beside its model."""

    @initialize()
    def begin(self) -> None:
        self.open(self.database.tenants(2))

    @invariant()
    def what_is_unfinished_is_in_the_queue_and_nothing_else(self) -> None:
        promises = self.model.promises
        unfinished = {key for key in promises if not promises[key].state.final}
        rows = {(row[0], row[1]): row for row in self.standing()}
        assert rows.keys() == unfinished, "final is final, and nothing is forgotten"
        for key in unfinished:
            promise, (_, _, claim_no, worker, held, due) = promises[key], rows[key]
            assert (claim_no, worker) == (promise.claim_no, promise.worker)
            if worker is None:
                assert (held, due) == (promise.held, promise.due)

    @invariant()
    def every_report_is_there_once_and_offsets_have_no_gap(self) -> None:
        for queue in self.queues:
            rows = self.reports(queue)
            assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), "a gap"
            told: dict[tuple[UUID, int], list[Event]] = {}
            for _, message_id, recipient_no, event in rows:
                told.setdefault((message_id, recipient_no), []).append(Event(event))
            assert told == {each.key: each.events for each in self.of(queue) if each.events}

    @invariant()
    def no_more_was_reserved_than_the_limit_had_room_for(self) -> None:
        assert all(taken <= most for taken, most in self.rationed), "over the limit"

    def teardown(self) -> None:
        if sys.exception() is not None:
            return  # a step failed, and says more than what follows from it
        if self.queues:
            self.let_everything_go()
        for promise in self.model.promises.values():
            assert promise.state.final
            finals = [event for event in promise.events if event in FINAL_EVENTS]
            assert len(finals) == promise.rounds, "one final state a round"


@pytest.fixture
def driven(database_url: str) -> Iterator[Driven]:
    one = Driven(database_url)
    yield one
    one.close()


def run(machine: type[QueueMachine], driven: Driven, how: settings = thorough) -> None:
    machine.database = driven
    run_state_machine_as_test(machine, settings=how)


def test_the_queue_keeps_its_promises_whatever_is_done_to_it(driven: Driven) -> None:
    run(QueueMachine, driven)


def test_control_without_the_fence_a_stale_settle_lands(driven: Driven) -> None:
    class Unfenced(QueueMachine):
        settle_sql = settle.statement(fence="(true OR d.worker_id = $1)")

    with pytest.raises(AssertionError, match="a stale settle lands nowhere"):
        run(Unfenced, driven, unshrunk)


def test_control_without_raised_heads_offsets_are_no_sequence(driven: Driven) -> None:
    class Unheaded(QueueMachine):
        settle_sql = settle.SETTLE.replace("h.last_offset + c.n,", "h.last_offset + c.n + 1,")

    assert Unheaded.settle_sql != settle.SETTLE
    with pytest.raises(AssertionError, match="a gap"):
        run(Unheaded, driven, unshrunk)


def test_control_without_the_reservation_the_limit_does_not_hold(driven: Driven) -> None:
    class Unreserved(QueueMachine):
        write: ClassVar[Any] = staticmethod(unwritten)

    with pytest.raises(AssertionError, match="over the limit"):
        run(Unreserved, driven, unshrunk)
