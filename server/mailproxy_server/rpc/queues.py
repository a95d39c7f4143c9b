"""QueueService: looks at the queue and hurries it."""

from dataclasses import dataclass

from mailproxy.v1 import queue_pb2

from mailproxy_server.mail.errors import invalid
from mailproxy_server.queue import control, counts, read, wake
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.rpc import selecting
from mailproxy_server.rpc.call import Call


@dataclass(frozen=True, slots=True)
class Queues:
    """The servicer."""

    pool: Pool
    bell: wake.Bell

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
        made_due: list[str] = []
        if request.include_retries or request.include_scheduled:
            async with borrowed(self.pool) as link:
                made_due = await control.run_now(
                    link,
                    call.tenant_id,
                    choice,
                    retries=request.include_retries,
                    scheduled=request.include_scheduled,
                )
        self.bell.ring(wake.DUE, [f"{call.tenant_id}/{account}" for account in set(made_due)])
        if not made_due:
            self.bell.ring(wake.DUE, [])
        return queue_pb2.RunNowResponse(made_due=len(made_due))

    async def GetQueueStatus(
        self, request: queue_pb2.GetQueueStatusRequest, call: Call
    ) -> queue_pb2.GetQueueStatusResponse:
        """Count what waits, by account, and name the dispatchers."""
        selecting.check_text(request.account_id, "account_id")
        async with borrowed(self.pool) as link:
            accounts = await counts.by_account(link, call.tenant_id, request.account_id)
            dispatchers = await counts.dispatchers(link)
            head = await read.head(link, call.tenant_id)
        response = queue_pb2.GetQueueStatusResponse(head_offset=head.last_offset)
        for one in accounts:
            status = response.accounts.add(
                account_id=one.account_id,
                due=one.due,
                retrying=one.retrying,
                scheduled=one.scheduled,
                sending=one.sending,
            )
            if one.oldest_due_at:
                status.oldest_due_time.FromDatetime(one.oldest_due_at)
        for worker in dispatchers:
            told = response.dispatchers.add(
                worker_id=str(worker.worker_id), host=worker.host, alive=worker.alive
            )
            told.start_time.FromDatetime(worker.started_at)
            told.beat_time.FromDatetime(worker.beat_at)
        return response
