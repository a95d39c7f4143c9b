"""GET /metrics: the numbers of all processes of this run, and those of the database."""

import asyncio

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from mailproxy_server.telemetry import meters, sharing
from mailproxy_server.web.gauges import Gauges


class Metrics:
    """The handler."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    async def get(self, request: web.Request) -> web.Response:
        """Answer a scrape."""
        await self._gauges.refresh()
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        registry = sharing.gathered(meters.OWN, self._gauges)
        body = await asyncio.to_thread(_encoded, encode, registry)
        return web.Response(body=body, headers={"content-type": kind})


def _encoded(encode: object, registry: CollectorRegistry) -> bytes:
    assert callable(encode)
    octets: bytes = encode(registry)
    return octets
