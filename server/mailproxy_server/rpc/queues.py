"""QueueService: looks at the queue and hurries it."""

from collections import Counter
from dataclasses import dataclass

from mailproxy.v1 import delivery_pb2, queue_pb2

from mailproxy_server.accounts.cache import AccountCache
from mailproxy_server.mail.errors import invalid
from mailproxy_server.queue import control, counts, holds, pauses, read, wake
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.pauses import Paused
from mailproxy_server.rpc import selecting
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.faring import health_of

NOTE_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Queues:
    """The servicer."""

    pool: Pool
    bell: wake.Bell
    accounts: AccountCache

    async def RunNow(
        self, request: queue_pb2.RunNowRequest, call: Call
    ) -> queue_pb2.RunNowResponse:
        """Make what matches due and wake every dispatcher."""
        choice = selecting.chosen(request.selector)
        if request.include_scheduled and choice.everything:
            raise invalid(
                "include_scheduled",
                "needs a selector (account_id, message_ids or labels), so that no schedule is "
                "overturned by mistake",
            )
        made_due: Counter[str] = Counter()
        if request.include_retries or request.include_scheduled:
            async with borrowed(self.pool) as link:
                made_due = await control.run_now(
                    link,
                    call.tenant_id,
                    choice,
                    retries=request.include_retries,
                    scheduled=request.include_scheduled,
                )
        self.bell.ring(wake.DUE, [f"{call.tenant_id}/{account}" for account in made_due])
        return queue_pb2.RunNowResponse(made_due=made_due.total())

    async def PauseQueue(
        self, request: queue_pb2.PauseQueueRequest, call: Call
    ) -> queue_pb2.PauseQueueResponse:
        """Hold an account's or labels' messages back."""
        paused, tenant_id = _paused(request.selector), call.tenant_id
        if len(request.note) > NOTE_LIMIT or not request.note.isprintable():
            raise invalid("note", f"give printable text of at most {NOTE_LIMIT} characters")
        if paused.account_id:
            await self.accounts.resolve(tenant_id, paused.account_id)
        async with borrowed(self.pool) as link:
            await pauses.begin(link, tenant_id, paused, request.note)
            if paused.labels:
                held, in_progress = await holds.hold(link, tenant_id, paused)
            else:
                held, in_progress = await pauses.concerned(link, tenant_id, paused.account_id)
        return queue_pb2.PauseQueueResponse(held=held, in_progress=in_progress)

    async def ResumeQueue(
        self, request: queue_pb2.ResumeQueueRequest, call: Call
    ) -> queue_pb2.ResumeQueueResponse:
        """End a pause."""
        paused, tenant_id = _paused(request.selector), call.tenant_id
        async with borrowed(self.pool) as link:
            released = 0
            if not paused.labels:
                # Counted while it is still in force: a moment later the lanes have begun.
                released, _ = await pauses.concerned(link, tenant_id, paused.account_id)
            if not await pauses.end(link, tenant_id, paused):
                return queue_pb2.ResumeQueueResponse()
            if paused.labels:
                released = await holds.free(link, tenant_id, paused)
        return queue_pb2.ResumeQueueResponse(resumed=True, released=released)

    async def GetQueueStatus(
        self, request: queue_pb2.GetQueueStatusRequest, call: Call
    ) -> queue_pb2.GetQueueStatusResponse:
        """Count what waits, by account, and name the dispatchers."""
        selecting.check_text(request.account_id, "account_id")
        async with borrowed(self.pool) as link:
            accounts = await counts.by_account(link, call.tenant_id, request.account_id)
            dispatchers = await counts.dispatchers(link)
            head = await read.head(link, call.tenant_id)
            fares = await health_of(link, call.tenant_id, [one.account_id for one in accounts])
            paused = await pauses.of_tenant(link, call.tenant_id)
        response = queue_pb2.GetQueueStatusResponse(head_offset=head.last_offset)
        for one in accounts:
            status = response.accounts.add(
                account_id=one.account_id,
                due=one.due,
                retrying=one.retrying,
                scheduled=one.scheduled,
                sending=one.sending,
                held=one.held,
                health=fares.get(one.account_id),
            )
            if one.oldest_due_at:
                status.oldest_due_time.FromDatetime(one.oldest_due_at)
        for worker in dispatchers:
            told = response.dispatchers.add(
                worker_id=str(worker.worker_id), host=worker.host, alive=worker.alive
            )
            told.start_time.FromDatetime(worker.started_at)
            told.beat_time.FromDatetime(worker.beat_at)
        for pause in paused:
            entry = response.pauses.add(note=pause.note)
            entry.selector.account_id = pause.paused.account_id
            entry.selector.labels.update(pause.paused.labels)
            entry.pause_time.FromDatetime(pause.paused_at)
        return response


def _paused(selector: delivery_pb2.Selector) -> Paused:
    """Give what a selector pauses; raise `InvalidFields` where that cannot be paused."""
    chosen = selecting.chosen(selector)
    if chosen.message_ids:
        raise invalid(
            "selector.message_ids",
            "single messages are not paused: cancel or reschedule them, or pause by a label",
        )
    if chosen.everything:
        raise invalid("selector", "is empty; name an account_id or labels")
    return Paused(chosen.account_id, chosen.labels)
