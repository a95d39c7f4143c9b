"""What a process shows of itself: the HTTP port, where it is the one to serve it, and its pulse."""

import asyncio
import platform
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from mailproxy_server.app.database_probe import DatabaseProbe
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.queue import named
from mailproxy_server.queue.hot import Pool, Told
from mailproxy_server.queue.statements import OTHER, name_of
from mailproxy_server.settings import Settings
from mailproxy_server.telemetry import meters
from mailproxy_server.telemetry.names import TenantNames
from mailproxy_server.telemetry.pending import Pending
from mailproxy_server.telemetry.pulse import Look, Pulse
from mailproxy_server.telemetry.tracing import TracingError, begin

if TYPE_CHECKING:
    from aiohttp.web import AbstractRouteDef
    from opentelemetry.trace import Tracer

    from mailproxy_server.web.guard import Guard

_STATEMENTS = {
    name: (Pending(meters.STATEMENT.labels(name)), meters.STATEMENT_ERRORS.labels(name))
    for name in ("claim", "settle", "intake", "reserve", OTHER)
}


def teller(tracer: "Tracer | None") -> Told:
    """Give what counts the statements of the hot path; with `tracer` it makes spans of them."""

    def tell(sql: str, seconds: float, error: BaseException | None) -> None:
        name = name_of(sql)
        took, errors = _STATEMENTS[name]
        took.observe(seconds)
        if error is not None:
            errors.inc()
        if tracer is not None:
            statement_span(tracer, name, sql, seconds, error)

    if tracer is not None:
        from mailproxy_server.telemetry.statements import statement_span
    return tell


@asynccontextmanager
async def traced(process: str) -> AsyncIterator["Tracer | None"]:
    """Trace for the length of the block, where the OTEL_* variables ask for it."""
    try:
        tracing = begin(process)
    except TracingError as error:
        raise Refusal(str(error)) from None
    try:
        yield tracing.tracer
    finally:
        await asyncio.to_thread(tracing.close)


def names(pool: Pool) -> TenantNames:
    """Give the names of tenants, from the database."""
    return TenantNames(lambda tenant_ids: named.tenants(pool, tenant_ids))


@asynccontextmanager
async def watched(role: str, pool: Pool, looks: Sequence[Look]) -> AsyncIterator[None]:
    """Have the pulse of this process beat for the length of the block."""
    meters.BUILD.labels(
        version("mailproxy-server"), platform.python_version(), version("grpcio")
    ).set(1)
    busy = meters.DATABASE_CONNECTIONS.labels("busy")
    idle = meters.DATABASE_CONNECTIONS.labels("idle")

    async def look_at_pool() -> None:
        resting = pool.get_idle_size()
        idle.set(resting)
        busy.set(pool.get_size() - resting)

    async def write_statements() -> None:
        for took, _ in _STATEMENTS.values():
            took.write()

    pulse = Pulse(role, [look_at_pool, write_statements, *looks])
    beating = asyncio.create_task(pulse.run(), name="pulse")
    try:
        yield
    finally:
        beating.cancel()
        await pulse.look()


@asynccontextmanager
async def http(
    settings: Settings,
    lifeline: Lifeline,
    pool: Pool,
    probe: DatabaseProbe,
    routes: "Callable[[Guard], Sequence[AbstractRouteDef]]" = lambda _: (),
) -> AsyncIterator[None]:
    """Serve the HTTP port for the length of the block, if this process is the first of its run;
    with the routes of a page where it has one. It is ready unless it drains or `probe` says why
    the database is of no use."""
    if lifeline.number or settings.http_listen is None:
        yield
        return
    # One process of a run serves HTTP: the others are smaller without it.
    from mailproxy_server.web.gauges import Gauges
    from mailproxy_server.web.guard import Guard
    from mailproxy_server.web.metrics import Metrics
    from mailproxy_server.web.server import HttpServer, Site

    def why_not_ready() -> str:
        return "draining" if lifeline.draining else probe.why_not and f"database: {probe.why_not}"

    guard = Guard(_token(settings), settings.http_hosts, settings.metrics_open)
    gauges = Gauges(pool, lambda: not probe.why_not)
    server = HttpServer(Site(guard, Metrics(gauges), why_not_ready, routes(guard)))
    await server.start(*settings.http_listen, _tls(settings))
    try:
        yield
    finally:
        await server.close()


def _token(settings: Settings) -> str:
    return settings.http_token.get_secret_value() if settings.http_token else ""


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context
