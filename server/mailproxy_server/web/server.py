"""The HTTP server of a run: its port, its routes, how it starts and ends."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from mailproxy_server.web.guard import Guard
from mailproxy_server.web.metrics import Metrics

_LARGEST = 256 * 1024
"""Bytes of a request."""
_LAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Site:
    """What is served: the metrics, the health, and `routes` where there is a page.

    `why_not_ready` tells why this server takes no calls, "" when it does.
    """

    guard: Guard
    metrics: Metrics
    why_not_ready: Callable[[], str]
    routes: Sequence[web.AbstractRouteDef] = field(default_factory=tuple)

    def application(self) -> web.Application:
        """Give it as aiohttp takes it."""
        application = web.Application(middlewares=[self.guard.watch], client_max_size=_LARGEST)
        application.on_response_prepare.append(self.guard.dress)
        application.router.add_get("/metrics", self.metrics.get)
        application.router.add_get("/healthz", self._alive)
        application.router.add_get("/readyz", self._ready)
        application.add_routes(self.routes)
        return application

    async def _alive(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        if why := self.why_not_ready():
            return web.Response(status=503, text=f"not serving: {why}\n")
        return web.Response(text="ok\n")


class HttpServer:
    """Serves a site. Another process may hold the port beside it (SO_REUSEPORT)."""

    def __init__(self, site: Site) -> None:
        self._runner = web.AppRunner(
            site.application(), access_log=None, shutdown_timeout=_LAST_SECONDS
        )

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Take requests from now on; raises OSError when the port cannot be bound."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, reuse_port=True, ssl_context=tls).start()

    async def close(self) -> None:
        """End the streams that are open, and the port."""
        await self._runner.cleanup()
