"""ListMessages: pages of what was submitted."""

import json
from datetime import datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.mail.errors import invalid
from mailproxy_server.queue import listing
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.ids import first_id
from mailproxy_server.queue.listing import Listed, Wanted
from mailproxy_server.rpc import selecting
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.paging import next_token, page_size, start_after

PAGE = 100
"""Messages on a page where none is asked for."""
PAGE_MOST = 1000
_LAST = UUID(int=2**128 - 1)
_FIRST = UUID(int=0)


async def page(
    pool: Pool, request: message_pb2.ListMessagesRequest, call: Call
) -> message_pb2.ListMessagesResponse:
    """Answer one ListMessages."""
    size = page_size(request.page_size, PAGE, PAGE_MOST)
    wanted = _wanted(request)
    scope = _scope(request, call.tenant_id)
    after = start_after(scope, request.page_token)
    if after:
        newest = UUID(int=max(UUID(after).int - 1, 0))
        wanted = Wanted(
            wanted.chosen,
            min(newest, wanted.newest),
            wanted.oldest,
            wanted.states,
            wanted.recipient,
        )
    async with borrowed(pool) as link:
        found = await listing.page(link, call.tenant_id, wanted, size)
    response = message_pb2.ListMessagesResponse(messages=map(_summary, found.messages))
    if found.reached is not None:
        response.next_page_token = next_token(scope, str(found.reached))
    return response


def _wanted(request: message_pb2.ListMessagesRequest) -> Wanted:
    chosen = selecting.chosen(request.selector)
    selecting.check_text(request.recipient, "recipient")
    for number, state in enumerate(request.states):
        if state not in delivery_pb2.DeliveryState.values() or not state:
            raise invalid(f"states[{number}]", f"{state} is not a state of a delivery")
    newest, oldest = _LAST, _FIRST
    if request.HasField("accepted_before"):
        newest = UUID(int=max(_id_at(request.accepted_before, "accepted_before").int - 1, 0))
    if request.HasField("accepted_from"):
        oldest = _id_at(request.accepted_from, "accepted_from")
    return Wanted(chosen, newest, oldest, list(request.states), request.recipient)


def _id_at(stamp: Timestamp, field: str) -> UUID:
    """Give the least id that a message of this time can have."""
    milliseconds = stamp.seconds * 1000 + stamp.nanos // 1_000_000
    if not 0 <= milliseconds < 2**48:
        raise invalid(field, "is not a time between 1970 and 9999")
    return first_id(milliseconds)


def _scope(request: message_pb2.ListMessagesRequest, tenant_id: UUID) -> str:
    """Name the list that a page token belongs to: its filter, whatever the page's size."""
    selector = request.selector
    filters = (
        selector.account_id,
        list(selector.message_ids),
        sorted(selector.labels.items()),
        list(request.states),
        request.recipient,
        request.accepted_from.ToNanoseconds() if request.HasField("accepted_from") else None,
        request.accepted_before.ToNanoseconds() if request.HasField("accepted_before") else None,
    )
    return f"messages/{tenant_id}/{json.dumps(filters)}"


def _summary(listed: Listed) -> message_pb2.MessageSummary:
    summary = message_pb2.MessageSummary(
        message_id=str(listed.message_id),
        request_id=listed.request_id or "",
        account_id=listed.account_id,
        priority=listed.priority,  # type: ignore[arg-type]  # the numbers are the contract's
        return_path=listed.return_path,
        labels=json.loads(listed.labels) if listed.labels else None,
    )
    _set(summary.accept_time, listed.accepted_at)
    if listed.send_at:
        _set(summary.send_time, listed.send_at)
    if listed.expire_at:
        _set(summary.expire_time, listed.expire_at)
    for state, count in sorted(listed.states.items()):
        summary.states.add(state=state, recipients=count)
    return summary


def _set(stamp: Timestamp, instant: datetime) -> None:
    stamp.FromDatetime(instant)
