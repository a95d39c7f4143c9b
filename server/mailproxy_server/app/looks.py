"""What the pulse of a front and of a dispatcher looks at: numbers that their parts keep."""

from typing import TYPE_CHECKING
from uuid import UUID

from mailproxy_server.telemetry import meters
from mailproxy_server.telemetry.names import TenantNames
from mailproxy_server.telemetry.pulse import Look
from mailproxy_server.telemetry.tally import Rising

if TYPE_CHECKING:  # neither role needs the other's parts in memory
    from mailproxy_server.dispatcher.desk import Desk
    from mailproxy_server.dispatcher.settler import Settler
    from mailproxy_server.reports.tail import Tail
    from mailproxy_server.rpc.registry import Registry


def desk(desk: "Desk") -> Look:
    """Look at the connections and files of a dispatcher."""
    busy, idle = (meters.CONNECTIONS.labels(state) for state in ("busy", "idle"))
    opened = Rising(meters.OPENED)
    hits, misses = (Rising(meters.CHUNKS.labels(result)) for result in ("hit", "miss"))
    fetched, found = (Rising(meters.FILES.labels(result)) for result in ("fetched", "found"))

    async def look() -> None:
        facts = desk.relays.facts
        busy.set(facts.busy)
        idle.set(facts.idle)
        opened.reach(facts.opened)
        hits.reach(desk.shelf.hits)
        misses.reach(desk.shelf.misses)
        fetched.reach(desk.files.fetches)
        found.reach(desk.files.found)

    return look


def settler(settler: "Settler") -> Look:
    """Look at what a dispatcher knows and could not write yet."""

    async def look() -> None:
        backlog = settler.backlog()
        meters.UNWRITTEN.set(backlog.unwritten)
        meters.UNWRITTEN_SECONDS.set(backlog.seconds)

    return look


def streams(registry: "Registry") -> Look:
    """Look at the streams of a front."""

    async def look() -> None:
        for service, count in registry.open_streams():
            meters.STREAMS.labels(service).set(count)

    return look


def report_lags(tail: "Tail", names: TenantNames) -> Look:
    """Look at how far the streams of each tenant are behind."""
    seen: set[UUID] = set()

    async def look() -> None:
        lags = tail.lags()
        seen.update(lags)
        await names.learn(seen)
        for tenant_id in seen:
            meters.REPORT_LAG.labels(*names.labels(tenant_id)).set(lags.get(tenant_id, 0.0))

    return look
