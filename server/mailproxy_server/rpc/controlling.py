"""What callers do to messages that are queued or over: cancel, reschedule, retry."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.content import schedule
from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.mail.errors import CallerError, invalid
from mailproxy_server.queue import cancel, read, requeue, reschedule, wake
from mailproxy_server.queue.control import Chosen
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.ids import born
from mailproxy_server.queue.settle import Settlement, settle
from mailproxy_server.rpc import selecting, standing
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.find import find, not_found
from mailproxy_server.rpc.submission import utc_now

BATCH = 500
NAMED = 1000
"""Recipients in progress that the answer to a selector names."""
RECIPIENTS_LIMIT = 1000

_CANCELLED = message_pb2.CANCEL_RESULT_CANCELLED
_IN_PROGRESS = message_pb2.CANCEL_RESULT_IN_PROGRESS
_FINAL = message_pb2.CANCEL_RESULT_ALREADY_FINAL


@dataclass(frozen=True, slots=True)
class Controlling:
    """This part of MessageService."""

    pool: Pool
    bell: wake.Bell

    async def cancel(
        self, request: message_pb2.CancelMessageRequest, call: Call
    ) -> message_pb2.CancelMessageResponse:
        """Withdraw what is queued; say what was under way, and what was final."""
        response = message_pb2.CancelMessageResponse()
        async with borrowed(self.pool) as link:
            chosen, one = await _target(link, request, call.tenant_id)
            seizer = uuid4()
            while rows := await cancel.seize(link, call.tenant_id, chosen, seizer, BATCH):
                batch = [Settlement(row, Outcome.cancelled(), attempted=False) for row in rows]
                response.cancelled += len(await settle(link, seizer, batch))
                if one:
                    _name(response, _CANCELLED, [(row.message_id, row.recipient) for row in rows])
            asked = await cancel.request(link, call.tenant_id, chosen, seizer)
            response.in_progress = len(asked)
            _name(response, _IN_PROGRESS, asked[:NAMED])
            if one:
                told = {each.recipient for each in response.recipients}
                final = await read.standing(link, call.tenant_id, one)
                rest = [(one, each.recipient) for each in final if each.recipient not in told]
                _name(response, _FINAL, rest)
        self.bell.ring(wake.REPORTS, [str(call.tenant_id)])
        return response

    async def reschedule(
        self, request: message_pb2.RescheduleMessageRequest, call: Call
    ) -> message_pb2.RescheduleMessageResponse:
        """Move what is queued of a message to another time."""
        now = utc_now()
        send_at, expire_at = schedule.check_move(request, now)
        async with borrowed(self.pool) as link:
            tenant_id = call.tenant_id
            message_id = await find(link, tenant_id, request.message_id, request.request_id)
            stored = await read.message(link, tenant_id, message_id)
            if stored is None:
                raise not_found(f"message_id {message_id}")
            if expire_at is None and stored.expire_at and stored.expire_at <= max(send_at, now):
                raise invalid(
                    "send_time",
                    f"is not before the message's expiry, {stored.expire_at:%Y-%m-%d %H:%M:%S} "
                    "UTC; give an earlier one, or an expire_time with it",
                )
            moved = await reschedule.move(link, tenant_id, message_id, send_at, expire_at)
            statuses = await stand(link, tenant_id, message_id)
        if not (moved.moved or moved.in_progress):
            raise CallerError("TOO_LATE", "all recipients of this message are final")
        self._hurry(tenant_id, moved.accounts)
        return message_pb2.RescheduleMessageResponse(
            rescheduled=moved.moved, in_progress=moved.in_progress, recipients=statuses
        )

    async def retry(
        self, request: message_pb2.RetryMessageRequest, call: Call
    ) -> message_pb2.RetryMessageResponse:
        """Bring the failed and expired recipients of a message back to the queue."""
        if len(request.recipients) > RECIPIENTS_LIMIT:
            raise invalid("recipients", f"give at most {RECIPIENTS_LIMIT}")
        for number, recipient in enumerate(request.recipients):
            selecting.check_text(recipient, f"recipients[{number}]")
        expire_at = schedule.check_expiry(request, utc_now())
        async with borrowed(self.pool) as link:
            tenant_id = call.tenant_id
            message_id = await find(link, tenant_id, request.message_id, request.request_id)
            since = born(message_id) - timedelta(days=1)
            names = list(request.recipients)
            try:
                accounts = await requeue.requeue(
                    link, tenant_id, message_id, since, names, expire_at
                )
            except LookupError:
                if await read.message(link, tenant_id, message_id) is None:
                    raise not_found(f"message_id {message_id}") from None
                raise CallerError(
                    "CONTENT_GONE",
                    "the message's content is no longer kept; submit it anew",
                ) from None
            statuses = await stand(link, tenant_id, message_id)
        self._hurry(tenant_id, frozenset(accounts))
        self.bell.ring(wake.REPORTS, [str(tenant_id)])
        return message_pb2.RetryMessageResponse(requeued=len(accounts), recipients=statuses)

    def _hurry(self, tenant_id: UUID, accounts: frozenset[str]) -> None:
        if accounts:
            self.bell.ring(wake.DUE, [f"{tenant_id}/{account}" for account in accounts])


async def stand(
    link: Connection, tenant_id: UUID, message_id: UUID
) -> list[delivery_pb2.RecipientStatus]:
    """Read where each recipient of a message stands now."""
    head = await read.head(link, tenant_id)
    standings = await read.standing(link, tenant_id, message_id)
    reports = await read.of_message(link, tenant_id, message_id)
    return standing.recipients(standings, reports, head.log_id)


async def _target(
    link: Connection, request: message_pb2.CancelMessageRequest, tenant_id: UUID
) -> tuple[Chosen, UUID | None]:
    """Give what is to be withdrawn, and which message that is when it is just one."""
    match request.WhichOneof("target"):
        case "selector":
            chosen = selecting.chosen(request.selector)
            if chosen.everything:
                raise invalid("selector", "is empty; name an account_id, message_ids or labels")
            return chosen, None
        case None:
            raise invalid("target", "give message_id, request_id or selector")
    message_id = await find(link, tenant_id, request.message_id, request.request_id)
    if await read.message(link, tenant_id, message_id) is None:
        raise not_found(f"message_id {message_id}")
    return Chosen(message_ids=[message_id]), message_id


def _name(
    response: message_pb2.CancelMessageResponse,
    result: message_pb2.CancelResult.ValueType,
    recipients: list[tuple[UUID, str]],
) -> None:
    for message_id, recipient in recipients:
        response.recipients.add(message_id=str(message_id), recipient=recipient, result=result)
