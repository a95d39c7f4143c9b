"""Reading how accounts fare: their health, their limits, and what is used of these."""

from collections.abc import Sequence
from uuid import UUID

from mailproxy.v1 import account_pb2

from mailproxy_server.policy.windows import limits_of
from mailproxy_server.queue import explain, health, reserve
from mailproxy_server.queue.hot import Connection
from mailproxy_server.rpc.account_health import Fares, to_wire


async def health_of(
    link: Connection, tenant_id: UUID, account_ids: Sequence[str]
) -> dict[str, account_pb2.AccountHealth]:
    """Give the health of each of these accounts."""
    names = list(account_ids)
    means = await explain.means(link, tenant_id, names)
    usage = await reserve.read(link, tenant_id, [each.rate_key for each in means])
    limits = {each.account_id: limits_of(each.limits) for each in means}
    used = {each.account_id: usage[each.rate_key] for each in means}
    return {
        each.account_id: to_wire(Fares(each, limits[each.account_id], used[each.account_id]))
        for each in await health.read(link, tenant_id, sorted(limits))
    }
