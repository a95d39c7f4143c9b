"""RescheduleMessage and RetryMessage: another time, and another round."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.accounts.cache import AccountCache
from mailproxy_server.content import schedule
from mailproxy_server.mail.errors import CallerError, invalid
from mailproxy_server.queue import read, requeue, reschedule, standings, wake
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.ids import born
from mailproxy_server.rpc import selecting, standing
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.find import existing
from mailproxy_server.rpc.submission import utc_now

RECIPIENTS_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Controlling:
    """This part of MessageService."""

    pool: Pool
    bell: wake.Bell
    accounts: AccountCache

    async def reschedule(
        self, request: message_pb2.RescheduleMessageRequest, call: Call
    ) -> message_pb2.RescheduleMessageResponse:
        """Move what is queued of a message to another time."""
        now, tenant_id = utc_now(), call.tenant_id
        send_at, expire_at = schedule.check_move(request, now)
        async with borrowed(self.pool) as link:
            message_id = await existing(link, tenant_id, request.message_id, request.request_id)
            expiry = expire_at or await reschedule.expiry(link, tenant_id, message_id)
            if expiry and expiry <= max(send_at, now):
                raise invalid(
                    "send_time",
                    f"is not before the message's expiry, {expiry:%Y-%m-%d %H:%M:%S} UTC; give an "
                    "earlier one, or an expire_time with it",
                )
            moved = await reschedule.move(link, tenant_id, message_id, send_at, expire_at)
            stands = await stand(link, tenant_id, [message_id])
        if not (moved.moved or moved.in_progress):
            raise CallerError(
                "TOO_LATE",
                "all recipients of this message are final; RetryMessage brings back those that "
                "have failed or expired",
            )
        self._hurry(tenant_id, moved.accounts)
        return message_pb2.RescheduleMessageResponse(
            rescheduled=moved.moved, in_progress=moved.in_progress, recipients=stands[message_id]
        )

    async def retry(
        self, request: message_pb2.RetryMessageRequest, call: Call
    ) -> message_pb2.RetryMessageResponse:
        """Bring the failed and expired recipients of a message back to the queue."""
        if len(request.recipients) > RECIPIENTS_LIMIT:
            raise invalid("recipients", f"give at most {RECIPIENTS_LIMIT}")
        for number, recipient in enumerate(request.recipients):
            selecting.check_text(recipient, f"recipients[{number}]")
        expire_at, tenant_id = schedule.check_expiry(request, utc_now()), call.tenant_id
        async with borrowed(self.pool) as link:
            message_id = await existing(link, tenant_id, request.message_id, request.request_id)
            since = born(message_id) - read.CLOCKS
            try:
                accounts = await requeue.requeue(
                    link, tenant_id, message_id, since, list(request.recipients), expire_at
                )
            except requeue.ContentGone:
                raise CallerError(
                    "CONTENT_GONE", "the message's content is no longer kept; submit it anew"
                ) from None
            except requeue.AccountGone as gone:
                raise await self._gone(tenant_id, gone.account_id) from None
            stands = await stand(link, tenant_id, [message_id])
        if accounts:
            self._hurry(tenant_id, frozenset(accounts))
            self.bell.ring(wake.REPORTS, [str(tenant_id)])
        return message_pb2.RetryMessageResponse(
            requeued=len(accounts), recipients=stands[message_id]
        )

    def _hurry(self, tenant_id: UUID, accounts: frozenset[str]) -> None:
        if accounts:
            self.bell.ring(wake.DUE, [f"{tenant_id}/{account}" for account in accounts])

    async def _gone(self, tenant_id: UUID, account_id: str) -> CallerError:
        """Give the error for a message whose account was deleted: it names those there are."""
        self.accounts.invalidate(tenant_id)
        try:
            await self.accounts.resolve(tenant_id, account_id)
        except CallerError as error:
            return error
        return CallerError("ACCOUNT_NOT_FOUND", f"the account {account_id} was just made; repeat")


async def stand(
    link: Connection, tenant_id: UUID, message_ids: Collection[UUID]
) -> dict[UUID, list[delivery_pb2.RecipientStatus]]:
    """Read where each recipient of each message stands now."""
    head = await read.head(link, tenant_id)
    stands = await standings.many(link, tenant_id, message_ids)
    newest = await standings.newest(link, tenant_id, message_ids)
    return {each: standing.recipients(stands[each], newest[each], head) for each in message_ids}
