"""GetQueueStatus counts what waits, by account, and names who sends."""

from datetime import UTC, datetime

from mailproxy.v1 import queue_pb2
from mailproxy_server.mail.delivery import Outcome, Reason

from tests.support.calling import ahead
from tests.support.emails import composed
from tests.support.served import Front, dispatching, queue_of

AGAIN_LATER = Outcome.deferred(Reason.RELAY_UNREACHABLE, 3600.0)


async def test_each_delivery_is_counted_by_what_it_waits_for(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await queue.submit_many(3)
        await queue.settle((await queue.claim())[:1], AGAIN_LATER)
        await front.first.submit(composed({"send_time": ahead(hours=1)}))
        before = datetime.now(UTC)
        for _ in range(4):
            await front.first.submit()
        status = await front.first.status("demo")
    (only,) = status.accounts
    assert (only.account_id, only.sending) == ("demo", 2)
    assert (only.due, only.retrying, only.scheduled) == (4, 1, 1)
    assert abs((only.oldest_due_time.ToDatetime(UTC) - before).total_seconds()) < 5
    assert status.head_offset == 1


async def test_accounts_with_nothing_to_do_are_told_too_by_their_id(front: Front) -> None:
    for name in ("zeta", "alpha"):
        await front.first.make_account(account_id=name)
    await front.first.submit(composed({"account_id": "zeta"}))
    status = await front.first.status()
    assert [one.account_id for one in status.accounts] == ["alpha", "demo", "zeta"]
    assert [one.due for one in status.accounts] == [0, 0, 1]
    assert [one.HasField("oldest_due_time") for one in status.accounts] == [False, False, True]
    assert [one.account_id for one in (await front.first.status("alpha")).accounts] == ["alpha"]


async def test_dispatchers_are_named_while_they_live(front: Front) -> None:
    assert list((await front.first.status()).dispatchers) == []
    async with dispatching(front), dispatching(front):
        found = (await front.first.status()).dispatchers
        assert len({one.worker_id for one in found}) == 2
        assert all(one.alive and one.host for one in found)
        assert all(one.beat_time.ToNanoseconds() >= one.start_time.ToNanoseconds() for one in found)
    assert list((await front.first.status()).dispatchers) == []


async def test_a_dispatcher_whose_lease_ran_out_is_not_alive(front: Front) -> None:
    await front.link.execute(
        """INSERT INTO mailproxy.workers (worker_id, host, birthplace, pid, pid_birth, beat_at,
                                          lease_seconds)
           VALUES (gen_random_uuid(), 'gone', 'elsewhere', 1, 1, now() - interval '1 minute', 30)"""
    )
    (only,) = (await front.first.status()).dispatchers
    assert (only.host, only.alive) == ("gone", False)


async def test_an_account_id_that_nobody_can_have_is_refused(front: Front) -> None:
    wanted = queue_pb2.GetQueueStatusRequest(account_id="\0")
    refusal = await front.first.refusal(front.first.queue.GetQueueStatus, wanted)
    assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", ("account_id",))
