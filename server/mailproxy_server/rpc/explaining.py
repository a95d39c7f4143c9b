"""ExplainMessage: why a message waits, and until when, from one snapshot."""

from collections.abc import Sequence
from uuid import UUID

from mailproxy.v1 import message_pb2

from mailproxy_server.policy.windows import limits_of
from mailproxy_server.queue import explain, health, read, reserve, standings
from mailproxy_server.queue.explain import Speed
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.lineage import Head
from mailproxy_server.rpc import standing, waits
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.find import find, not_found
from mailproxy_server.rpc.waits import Standing

RECENT = 5_000
"""Newest reports of the tenant that tell how fast an account sends."""


async def message(
    pool: Pool, request: message_pb2.ExplainMessageRequest, call: Call
) -> message_pb2.ExplainMessageResponse:
    """Answer one ExplainMessage."""
    tenant_id = call.tenant_id
    async with (
        borrowed(pool) as link,
        link.transaction(isolation="repeatable_read", readonly=True),
    ):
        message_id = await find(link, tenant_id, request.message_id, request.request_id)
        if await read.message(link, tenant_id, message_id) is None:
            raise not_found(f"message_id {message_id}")
        head = await read.head(link, tenant_id)
        waiting = await explain.waiting(link, tenant_id, message_id)
        at_stake = sorted({one.account_id for one in waiting})
        known = await accounts(link, tenant_id, at_stake, head)
        stands = await standings.one(link, tenant_id, message_id)
        reports = await read.of_message(link, tenant_id, message_id)
    statuses = standing.recipients(stands, reports, head)
    response = message_pb2.ExplainMessageResponse(message_id=str(message_id))
    open_ones = {one.recipient_no: one for one in waiting}
    last = {report.recipient_no: report for report in reports}
    for number, status in zip([s.recipient_no for s in stands], statuses, strict=True):
        told = response.recipients.add(recipient=status.recipient, state=status.state)
        told.account_id = status.last_report.account_id
        one = open_ones.get(number)
        if one is not None and one.account_id in known:
            at = known[one.account_id]
            told.account_id = one.account_id
            told.waits.extend(waits.of(one, at, last.get(number)))
            if (moment := waits.estimate(one, at)) is not None:
                told.estimated_attempt_time.FromDatetime(moment)
    now = next(iter(known.values())).now if known else head.last_at
    response.read_time.FromDatetime(now)
    return response


async def accounts(
    link: Connection, tenant_id: UUID, names: Sequence[str], head: Head
) -> dict[str, Standing]:
    """Read all that is known of accounts that deliveries wait for."""
    if not names:
        return {}
    now, dispatchers = await explain.clock(link)
    means = await explain.means(link, tenant_id, names)
    speeds = await explain.speeds(link, tenant_id, names, head.last_offset - RECENT)
    fares = {one.account_id: one for one in await health.read(link, tenant_id, names)}
    usage = await reserve.read(link, tenant_id, [each.rate_key for each in means])
    return {
        each.account_id: Standing(
            now,
            each,
            limits_of(each.limits),
            speeds.get(each.account_id, Speed()),
            fares[each.account_id],
            usage[each.rate_key],
            dispatchers,
        )
        for each in means
    }
