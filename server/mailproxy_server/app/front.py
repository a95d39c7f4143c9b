"""The front's process: builds its parts, wires them, and ends them in order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from aiohttp.web import AbstractRouteDef
from mailproxy.v1 import account_pb2, message_pb2, queue_pb2, report_pb2, template_pb2

from mailproxy_server.accounts.account import Account, Secrets
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.cache import AccountCache
from mailproxy_server.accounts.tenants import Tenants
from mailproxy_server.app import database_probe, first_token, looks, page, resources, watching
from mailproxy_server.app.database import direct_sessions_to
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.app.resources import Resources
from mailproxy_server.queue import counts, days, wake
from mailproxy_server.queue.hot import Pool as HotPool
from mailproxy_server.queue.hot import connection
from mailproxy_server.queue.intake import Intake
from mailproxy_server.reports.tail import Tail
from mailproxy_server.rpc.accounts import AccountsServicer, HasQueued, Health, Verify
from mailproxy_server.rpc.depth import Depth
from mailproxy_server.rpc.edge import Edge
from mailproxy_server.rpc.faring import health_of
from mailproxy_server.rpc.faults import Faults
from mailproxy_server.rpc.messages import Messages
from mailproxy_server.rpc.metering import Metering
from mailproxy_server.rpc.outlook import Outlook
from mailproxy_server.rpc.preparing import Preparing
from mailproxy_server.rpc.producing import Producing
from mailproxy_server.rpc.queues import Queues
from mailproxy_server.rpc.registry import Registry
from mailproxy_server.rpc.reports import Reports
from mailproxy_server.rpc.server import GrpcServer, TlsFiles
from mailproxy_server.rpc.templates import TemplatesServicer
from mailproxy_server.rpc.templating import Templating
from mailproxy_server.rpc.tracing import Tracer as CallTracer
from mailproxy_server.rpc.tracing import Tracers
from mailproxy_server.rpc.uploading import Uploads
from mailproxy_server.settings import Settings
from mailproxy_server.smtp.verify import Verified
from mailproxy_server.templates.cache import TemplateCache
from mailproxy_server.templates.kitchen import Kitchen
from mailproxy_server.templates.templates import CHANNEL, Templates
from mailproxy_server.web.guard import Guard

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

log = structlog.get_logger()

STRICT = {
    "SubmitMessage",
    "WatchMessage",
    "CancelMessage",
    "RescheduleMessage",
    "RetryMessage",
    "UploadAttachment",
}
"""RPCs of MessageService that refuse what they do not know: it may be what matters."""


async def run(settings: Settings, lifeline: Lifeline, database_url: str) -> None:
    """Serve gRPC until the drain."""
    async with (
        watching.traced(f"front-{lifeline.number}") as tracer,
        resources.opened(settings, database_url, tracer) as common,
    ):
        await days.make(common.pool)
        parts = build(settings, common)
        await first_token.make(settings, parts.tenants)
        ear = wake.Ear(
            direct_sessions_to(settings, database_url),
            common.pool,
            {
                wake.REPORTS: parts.tail.hint,
                wake.ACCOUNTS: parts.cache.changed,
                CHANNEL: parts.templates.changed,
            },
        )
        beside = [
            asyncio.create_task(ear.run(), name="ear"),
            asyncio.create_task(days.keep(common.pool), name="days"),
        ]
        server = GrpcServer(
            parts.registry,
            reflection=settings.reflection,
            connection_streams=settings.connection_streams,
        )
        server.bind(str(settings.grpc_listen), _tls(settings))
        await server.start()
        async with _watched(settings, lifeline, parts, common.pool, server.health.set_serving):
            lifeline.ready()
            try:
                await lifeline.until_drain(*beside)
            finally:
                lifeline.drain()
                await server.drain(settings.drain_seconds)
        await parts.intake.close()
        await parts.kitchen.close()
        for task in beside:
            task.cancel()


@asynccontextmanager
async def _watched(
    settings: Settings,
    lifeline: Lifeline,
    parts: "Parts",
    pool: HotPool,
    set_serving: Callable[[bool], None],
) -> AsyncIterator[None]:
    """Be watched, serve HTTP, and have health say whether the database takes mail, for the length
    of the block."""
    tail, registry = parts.tail, parts.registry
    lags = looks.report_lags(tail, watching.names(pool))
    seen = [parts.metering.write, looks.streams(registry), lags]

    def routes(guard: Guard) -> list[AbstractRouteDef]:
        return page.routes(settings, guard, pool, tail, registry)

    async with (
        database_probe.probing(pool, set_serving) as probe,
        watching.watched("front", pool, seen),
        watching.http(settings, lifeline, pool, probe, routes),
    ):
        yield


@dataclass(frozen=True, slots=True)
class Parts:
    """What a front is made of."""

    registry: Registry
    tenants: Tenants
    cache: AccountCache
    templates: TemplateCache
    kitchen: Kitchen
    tail: Tail
    intake: Intake
    metering: Metering


def build(settings: Settings, common: Resources) -> Parts:
    """Build and wire the parts; starts nothing."""
    pool = common.pool
    accounts, tenants = Accounts(common.engine, common.vault), Tenants(common.engine)
    cache, tail, intake = AccountCache(accounts), Tail(pool), Intake(pool)
    bell, depth = wake.Bell(pool), Depth(pool, settings.queue_depth)
    metering = Metering()
    edge = _edge(settings, tenants, _tracers(metering, common.tracer))
    uploads = _uploads(settings, pool)
    templates, kitchen = Templates(common.engine), Kitchen()
    shelf = TemplateCache(templates)
    templating = Templating(shelf, kitchen)
    preparing = Preparing(pool, cache, uploads, templating)
    messages = Messages(
        pool, intake, bell, cache, preparing, depth, tail, Outlook(pool), uploads, edge.faults,
        Producing(common.tracer),
    )  # fmt: skip
    keeper = AccountsServicer(
        accounts, _verifier(accounts, settings), _counter(pool), cache.invalidate, _health(pool)
    )
    registry = Registry(edge)
    for module, name, servicer, strict in (
        (message_pb2, "MessageService", messages, STRICT),
        (report_pb2, "ReportService", Reports(pool, tail), ()),
        (account_pb2, "AccountService", keeper, {"ManageAccount"}),
        (queue_pb2, "QueueService", Queues(pool, bell, cache), {"PauseQueue"}),
        (
            template_pb2,
            "TemplateService",
            TemplatesServicer(templates, templating, shelf.invalidate),
            {"ManageTemplate", "RenderTemplate"},
        ),
    ):
        registry.add(module.DESCRIPTOR.services_by_name[name], servicer, strict=strict)
    return Parts(registry, tenants, cache, shelf, kitchen, tail, intake, metering)


def _uploads(settings: Settings, pool: HotPool) -> Uploads:
    return Uploads(
        pool,
        settings.max_attachment_bytes,
        settings.max_attachments_bytes,
        settings.spool_memory_bytes,
        timedelta(hours=settings.blob_ttl_hours),
    )


def _health(pool: HotPool) -> Health:
    async def health(tenant_id: UUID, account: Account) -> account_pb2.AccountHealth:
        async with connection(pool) as link:
            return (await health_of(link, tenant_id, [account.account_id]))[account.account_id]

    return health


def _counter(pool: HotPool) -> HasQueued:
    async def has_queued(tenant_id: UUID, account_id: str) -> int:
        async with connection(pool) as link:
            return await counts.queued(link, tenant_id, account_id)

    return has_queued


def _verifier(accounts: Accounts, settings: Settings) -> Verify:
    dialling = resources.dial_of(settings)

    async def verify(account: Account, secrets: Secrets) -> Verified:
        pool = resources.pool_of(accounts, account, secrets, dialling=dialling)
        try:
            return await pool.verify()
        finally:
            await pool.close()

    return verify


def _tracers(metering: Metering, tracer: "Tracer | None") -> CallTracer:
    """Give who is told of calls: what counts them and, while tracing is on, what makes spans."""
    if tracer is None:
        return metering
    from mailproxy_server.rpc.spans import CallSpans

    return Tracers(metering, CallSpans(tracer))


def _edge(settings: Settings, tenants: Tenants, tracer: CallTracer) -> Edge:
    return Edge(
        tenants.authenticate,
        Faults(_bug),
        settings.inflight_bytes,
        max_request_bytes=settings.max_message_bytes,
        max_streams=settings.max_streams,
        body_seconds=settings.body_seconds,
        tracer=tracer,
    )


def _tls(settings: Settings) -> TlsFiles | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key)


def _bug(bug_id: str, error: BaseException) -> None:
    log.error("a call could not be answered", id=bug_id, exc_info=error)
