"""CancelMessage: withdraws what is queued, and asks what is under way to end."""

from collections.abc import Sequence
from uuid import UUID

from mailproxy.v1 import message_pb2

from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.mail.errors import invalid
from mailproxy_server.queue import cancel, claim, standings
from mailproxy_server.queue.chosen import Chosen, walk
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.settle import Settlement, settle
from mailproxy_server.rpc import selecting
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.find import existing

NAMED = 1000
"""Recipients in progress that the answer to a selector names."""

_CANCELLED = message_pb2.CANCEL_RESULT_CANCELLED
_IN_PROGRESS = message_pb2.CANCEL_RESULT_IN_PROGRESS
_FINAL = message_pb2.CANCEL_RESULT_ALREADY_FINAL

Request = message_pb2.CancelMessageRequest
Response = message_pb2.CancelMessageResponse


async def message(pool: Pool, request: Request, call: Call) -> Response:
    """Answer one CancelMessage.

    What is seized ends CANCELLED, whoever settles it: should the keeper take it for an orphan
    before it is settled here, it does the same.
    """
    response, seizer = Response(), claim.seizer()
    async with borrowed(pool) as link:
        chosen, one = await _target(link, request, call.tenant_id)
        async for found in walk(link, call.tenant_id, chosen):
            withdrawn = await cancel.withdraw(link, call.tenant_id, found, seizer)
            await _end(link, seizer, withdrawn.seized)
            response.cancelled += len(withdrawn.seized)
            response.in_progress += len(withdrawn.under_way)
            if one:
                _name(response, _CANCELLED, withdrawn.seized)
            room = NAMED - len(response.recipients)
            _name(response, _IN_PROGRESS, withdrawn.under_way[: None if one else room])
        if one:
            await _name_final(link, response, call.tenant_id, one)
    return response


async def _target(
    link: Connection, request: Request, tenant_id: UUID
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
    one = await existing(link, tenant_id, request.message_id, request.request_id)
    return Chosen(message_ids=[one]), one


async def _end(link: Connection, seizer: UUID, seized: Sequence[Claimed]) -> None:
    if seized:
        outcome = Outcome.cancelled()
        await settle(link, seizer, [Settlement(row, outcome, attempted=False) for row in seized])


def _name(
    response: Response, result: message_pb2.CancelResult.ValueType, rows: Sequence[Claimed]
) -> None:
    for row in rows:
        response.recipients.add(
            message_id=str(row.message_id), recipient=row.recipient, result=result
        )


async def _name_final(link: Connection, response: Response, tenant_id: UUID, one: UUID) -> None:
    """Name those recipients of a message that were final before."""
    told = {each.recipient for each in response.recipients}
    for each in await standings.one(link, tenant_id, one):
        if each.recipient not in told:
            response.recipients.add(message_id=str(one), recipient=each.recipient, result=_FINAL)
