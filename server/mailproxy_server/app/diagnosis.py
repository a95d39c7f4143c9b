"""`mailproxy diagnose`: looks at a run from beside it, as far as it can, and says what is wrong.

A part that cannot be looked at is a finding itself; the others are looked at all the same.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from cryptography import x509

from mailproxy_server.app import findings
from mailproxy_server.app.database import direct_sessions_to, sessions_to
from mailproxy_server.app.datadir import locate
from mailproxy_server.app.findings import Finding, fault, well
from mailproxy_server.app.reading import database
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.queue import checkup, migrations
from mailproxy_server.queue.sessions import Session
from mailproxy_server.queue.unavailable import NotOurs
from mailproxy_server.settings import Settings

OLD_SECONDS = 300.0
"""From when on a transaction, or due mail, is old."""
_PATIENCE = timedelta(seconds=3)
_WRITABLE = (
    "name the primary in MAILPROXY_DATABASE_URL, or see to default_transaction_read_only: "
    "SELECT * FROM pg_db_role_setting; SHOW default_transaction_read_only"
)
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


async def examine(settings: Settings, old_seconds: float = OLD_SECONDS) -> AsyncIterator[Finding]:
    """Give the findings one after the other, as they come."""
    for found in _places(settings):
        yield found
    try:
        async with database(settings) as url:
            async for found in _database(settings, url, old_seconds):
                yield found
    except Refusal as refusal:
        yield fault("database", "database_away", str(refusal), "start it; see its own log")


async def _database(settings: Settings, url: str, old_seconds: float) -> AsyncIterator[Finding]:
    try:
        link = await sessions_to(settings, url, checked=False).connect("mailproxy diagnose")
    except _FAULTS as error:
        yield _away(error)
        return
    try:
        version = await link.fetchval("SHOW server_version")
        yield well("database", f"PostgreSQL {version.split()[0]} answers")
        revision = await checkup.revision(link)
        yield findings.schema(revision, migrations.newest())
        if revision:
            async for found in _looked_at(settings, link, old_seconds):
                yield found
        yield await _notifications(settings, url, link)
    finally:
        await link.close(timeout=5)


async def _looked_at(
    settings: Settings, link: Session, old_seconds: float
) -> AsyncIterator[Finding]:
    async def totals() -> list[Finding]:
        return [findings.totals(await checkup.counts(link), settings.queue_depth)]

    async def clock() -> list[Finding]:
        return [findings.clock(await checkup.skew(link))]

    async def lanes() -> list[Finding]:
        return list(findings.lanes(await checkup.dispatchers(link)))

    async def leases() -> list[Finding]:
        return [findings.leases(await checkup.stuck(link))]

    async def relays() -> list[Finding]:
        return [findings.relay(each) for each in await checkup.broken(link)]

    async def waits() -> list[Finding]:
        now = await link.fetchval("SELECT now()")
        judged = [findings.waits(each, now, old_seconds) for each in await checkup.waiting(link)]
        return [each for each in judged if each is not None]

    async def outbox() -> list[Finding]:
        count = await checkup.refused_rows(link)
        words = f"{count} rows were refused and are kept"
        remedy = "SELECT * FROM mailproxy.outbox WHERE refused_at IS NOT NULL"
        return [findings.warning("outbox", "outbox_refused", words, remedy)] if count else []

    async def vacuum() -> list[Finding]:
        return list(findings.hygiene(await checkup.holders(link, old_seconds)))

    async def replication() -> list[Finding]:
        found = await checkup.replication(link)
        return list(findings.replication(found, required=settings.require_synchronous))

    async def writing() -> list[Finding]:
        await checkup.write_probe(link)
        return [well("writing", "the database takes what is written")]

    looks = (totals, clock, lanes, leases, relays, waits, outbox, vacuum, replication, writing)
    for look in looks:
        for found in await _tried(look):
            yield found


async def _tried(look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        return await look()
    except asyncpg.DiskFullError as error:
        words = f"the database's disk is full: {_words(error)}"
        return [fault("disk", "full_disk", words, "make room where PostgreSQL keeps its data")]
    except asyncpg.ReadOnlySQLTransactionError:
        words = "the database is read-only: no mail is taken in and none is sent"
        return [fault("writing", "read_only_database", words, _WRITABLE)]
    except _FAULTS as error:
        words = f"could not be looked at: {_words(error)}"
        return [fault(look.__name__, "not_looked_at", words, "see the database's own log")]


def _away(error: BaseException) -> Finding:
    if isinstance(error.__cause__, NotOurs):
        words = f"it cannot be used: {_words(error)}"
        return fault("database", "database_not_ours", words, "mend MAILPROXY_DATABASE_URL")
    words = f"it cannot be reached: {_words(error)}"
    return fault("database", "database_away", words, "start it, or mend MAILPROXY_DATABASE_URL")


async def _notifications(settings: Settings, url: str, sender: Session) -> Finding:
    try:
        sessions = direct_sessions_to(settings, url, checked=False)
        listener = await sessions.connect("mailproxy diagnose")
        try:
            heard = await checkup.hears(listener, sender, _PATIENCE)
        finally:
            await listener.close(timeout=5)
    except _FAULTS as error:
        return fault(
            "notifications", "lost_notifications", f"cannot be listened to: {_words(error)}",
            "mend MAILPROXY_DATABASE_DIRECT_URL",
        )  # fmt: skip
    if heard:
        return well("notifications", "they come through")
    return fault(
        "notifications", "lost_notifications",
        "they do not come through: mail waits for MAILPROXY_POLL_SECONDS instead of milliseconds",
        "a pooler in transaction mode loses them: set MAILPROXY_DATABASE_DIRECT_URL to the "
        "database itself",
    )  # fmt: skip


def _places(settings: Settings) -> list[Finding]:
    """Look at what is on this machine: disks and the certificate."""
    found = []
    folders = {Path(tempfile.gettempdir()), locate(settings.data_dir)}
    for folder in sorted(filter(os.path.isdir, folders)):
        usage = shutil.disk_usage(folder)
        found.append(findings.disk(str(folder), usage.free, usage.total))
    if settings.tls_certificate is not None:
        found.append(_certificate(settings.tls_certificate))
    return found


def _certificate(path: Path) -> Finding:
    try:
        first = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError, IndexError) as error:
        words = f"{path} cannot be read: {_words(error)}"
        return fault("certificate", "no_certificate", words, "mend MAILPROXY_TLS_CERTIFICATE")
    return findings.certificate(str(path), first.not_valid_after_utc, datetime.now(UTC))


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
