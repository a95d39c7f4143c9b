"""The dispatcher's process: builds its parts, wires them, and ends them in order."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog

from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.vault import VaultError
from mailproxy_server.app import database_probe, fetching, looks, resources, routes, watching
from mailproxy_server.app.crier import Crier
from mailproxy_server.app.database import direct_sessions_to
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.app.resources import Resources
from mailproxy_server.content.sources.resolver import Lookup, system_lookup
from mailproxy_server.dispatcher.claims import Scope
from mailproxy_server.dispatcher.custodian import Custodian, Kept
from mailproxy_server.dispatcher.desk import Desk
from mailproxy_server.dispatcher.keeper import Keeper
from mailproxy_server.dispatcher.lease import Deaths, Lease, LeaseLost, this_worker
from mailproxy_server.dispatcher.limited import ClaimWithin, Limited
from mailproxy_server.dispatcher.mover import Mover
from mailproxy_server.dispatcher.rated import claim_within
from mailproxy_server.dispatcher.recording import Recording
from mailproxy_server.dispatcher.relays import Load, Relays, Route
from mailproxy_server.dispatcher.roster import Roster
from mailproxy_server.dispatcher.settler import Settler
from mailproxy_server.dispatcher.shelf import Shelf
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import days, outbox, wake
from mailproxy_server.queue.retention import Fate
from mailproxy_server.queue.sessions import Sessions
from mailproxy_server.queue.unavailable import is_unavailable, unavailable, why
from mailproxy_server.settings import Settings
from mailproxy_server.smtp.relay import Timeouts
from mailproxy_server.telemetry.activity import Activity
from mailproxy_server.telemetry.pulse import Look
from mailproxy_server.telemetry.tally import Tally

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from mailproxy_server.dispatcher.spans import AttemptSpans

_UNUSABLE_SECONDS = 60.0
"""Until an account whose secrets do not open is tried again."""
_MARGIN = timedelta(seconds=1)
"""Beyond intake's statement timeout: what its commit takes."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Seams:
    """What is another one in tests that show what it is good for."""

    lease: type[Lease] = Lease
    deaths: type[Deaths] = Deaths
    claim_within: ClaimWithin = claim_within
    timeouts: Timeouts | None = None
    """Of the dialogue with relays."""
    lookup: Lookup = system_lookup
    """Of the hosts of attachments."""


async def run(
    settings: Settings, lifeline: Lifeline, database_url: str, seams: Seams | None = None
) -> None:
    """Claim and send until the drain; then finish what is in flight and hand the rest back."""
    async with (
        watching.traced(f"dispatcher-{lifeline.number}") as tracer,
        resources.opened(settings, database_url, tracer) as common,
    ):
        parts = build(settings, common, database_url, seams or Seams())
        await days.make(common.pool)
        await parts.lease.begin()
        tasks = [
            asyncio.create_task(part.run(), name=type(part).__name__)
            for part in (parts.ear, parts.keeper, parts.roster, parts.mover, parts.custodian)
        ]
        tasks.append(asyncio.create_task(days.keep(common.pool), name="days"))
        beating = asyncio.create_task(parts.lease.keep(), name="lease")
        async with (
            database_probe.probing(common.pool) as probe,
            watching.watched("dispatcher", common.pool, parts.looks),
            watching.http(settings, lifeline, common.pool, probe),
        ):
            lifeline.ready()
            try:
                await lifeline.until_drain(*tasks, beating, parts.failed)
            except LeaseLost as lost:
                log.error(
                    "the lease was lost; this process ends and a new one begins", why=str(lost)
                )
                raise SystemExit(3) from None
            for task in tasks:
                task.cancel()
            await _given_back(parts.roster.drain(settings.drain_seconds))
        await _given_back(parts.lease.end())
        beating.cancel()
        await parts.relays.close()


async def _given_back(work: Awaitable[None]) -> None:
    """Give back what is held; a database that is away keeps no process from ending."""
    try:
        await work
    except Unavailable as error:
        words = "what is held could not be given back: it is taken over once the lease is over"
        log.warning(words, why=why(error))


@dataclass(frozen=True, slots=True)
class Parts:
    """What a dispatcher is made of. `failed` ends with the exception of a lane that has a bug."""

    lease: Lease
    relays: Relays
    roster: Roster
    keeper: Keeper
    mover: Mover
    custodian: Custodian
    ear: wake.Ear
    failed: asyncio.Future[None]
    looks: Sequence[Look]


def build(settings: Settings, common: Resources, database_url: str, seams: Seams) -> Parts:
    """Build and wire the parts; starts nothing."""
    pool = common.pool
    me, bell = this_worker(uuid4()), wake.Bell(pool)
    worker_id = me.worker_id
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    recording = _recording(settings, common)
    crier = Crier(bell, recording, lambda batch: roster.settled(batch))
    settler = Settler(
        pool, worker_id, crier.settled, crier.bug, settings.settle_gather_ms / 1000,
        crier.blocked, failed,
    )  # fmt: skip
    direct = direct_sessions_to(settings, database_url)
    lease = seams.lease(
        direct_sessions_to(settings, database_url), me, settings.lease_seconds, settler.backlog
    )
    relays = Relays(
        _loader(Accounts(common.engine, common.vault), settings, seams.timeouts),
        settings.poll_seconds,
    )
    desk = Desk(
        pool=pool,
        scope=_scope(settings, worker_id),
        relays=relays,
        settler=settler,
        lease=lambda: lease.may_dot() or settler.may_dot(),
        late=lease.is_late,
        share=settings.connection_share,
        files=fetching.files(settings, pool, worker_id, seams.lookup),
        shelf=Shelf(pool, settings.blob_memory_bytes),
        recording=recording,
        limited=lambda claims: Limited(claims, worker_id, seams.claim_within),
        changed=crier.changed,
        bug=crier.bug,
    )
    roster = Roster(desk, failed)
    every = settings.lease_seconds / 4
    keeper = Keeper(pool, lease, every, crier.rescued, crier.settled, seams.deaths)
    largest, every = settings.max_message_bytes, settings.outbox_poll_seconds
    mover = Mover(pool, largest, every, crier.moved, crier.bug)
    hints = {wake.DUE: roster.hint, wake.ACCOUNTS: roster.changed, outbox.CHANNEL: mover.hint}
    ear, custodian = wake.Ear(direct, pool, hints), _custodian(settings, common, direct)
    seen = [recording.write, looks.desk(desk), looks.settler(settler)]
    return Parts(lease, relays, roster, keeper, mover, custodian, ear, failed, seen)


def _recording(settings: Settings, common: Resources) -> Recording:
    activity = Activity(settings.log_addresses) if settings.delivery_activity else None
    return Recording(Tally(watching.names(common.pool)), _spans(common.tracer), activity)


def _spans(tracer: "Tracer | None") -> "AttemptSpans | None":
    if tracer is None:
        return None
    from mailproxy_server.dispatcher.spans import AttemptSpans

    return AttemptSpans(tracer)


def _scope(settings: Settings, worker_id: UUID) -> Scope:
    return Scope(
        worker_id=worker_id,
        poll_seconds=settings.poll_seconds,
        sweep_seconds=settings.sweep_seconds,
        margin=timedelta(seconds=settings.statement_timeout_seconds) + _MARGIN,
        oldest_share=settings.oldest_share,
    )


def _custodian(settings: Settings, common: Resources, sessions: Sessions) -> Custodian:
    hours = settings.retention_content_hours
    kept = Kept(
        settings.retention_report_days,
        settings.retention_message_days,
        None if hours is None else hours * 3600,
        settings.blob_ttl_hours * 3600,
        settings.blob_total_bytes,
    )
    return Custodian(common.pool, sessions, kept, _day_over, _refused)


def _day_over(day: date, fate: Fate) -> None:
    log.info("a day of reports is over", day=str(day), fate=fate.value)


def _refused(error: Exception) -> None:
    log.error("what is too old could not be removed", why=str(error))


def _loader(accounts: Accounts, settings: Settings, timeouts: Timeouts | None) -> Load:
    dialling = resources.dial_of(settings)

    async def load(tenant_id: UUID, account_id: str) -> Route | None:
        try:
            found = await accounts.credentials(tenant_id, account_id)
        except VaultError as error:
            log.error("an account cannot be used", account=account_id, why=str(error))
            raise Unavailable("INTERNAL", str(error), _UNUSABLE_SECONDS) from error
        except Exception as error:
            if is_unavailable(error):
                raise unavailable(error) from error
            raise
        if found is None:
            return None
        return routes.route(*found, resources.pool_of(accounts, *found, timeouts, dialling))

    return load
