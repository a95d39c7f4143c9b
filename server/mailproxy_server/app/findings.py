"""From facts to findings: what is well, what is not, and what to do about it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.policy import windows
from mailproxy_server.policy.usage import Usage
from mailproxy_server.queue.checkup import (
    Broken,
    Counts,
    Dispatcher,
    Holder,
    Replication,
    Stuck,
    Waiting,
)

SKEW_SECONDS = 2.0
CERTIFICATE_DAYS = 14
FREE_SHARE, FREE_OCTETS = 0.05, 256 * 2**20


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `fault` names it for programs, "" when it is well."""

    level: Level
    subject: str
    words: str
    fault: str = ""
    remedy: str = ""


def well(subject: str, words: str) -> Finding:
    """Give the finding of something that works."""
    return Finding(Level.OK, subject, words)


def fault(subject: str, name: str, words: str, remedy: str) -> Finding:
    """Give the finding of something that does not."""
    return Finding(Level.FAULT, subject, words, name, remedy)


def warning(subject: str, name: str, words: str, remedy: str) -> Finding:
    """Give the finding of something that will not for long."""
    return Finding(Level.WARNING, subject, words, name, remedy)


def schema(found: str, newest: str) -> Finding:
    """Judge the schema's revision."""
    if found == newest:
        return well("migrations", f"the schema is at {newest}, the newest")
    if not found:
        return fault(
            "migrations", "old_migration", "the database has no schema", "mailproxy migrate"
        )
    if found > newest:
        return warning(
            "migrations", "new_migration",
            f"the schema is at {found}, newer than this program's {newest}",
            "upgrade this program",
        )  # fmt: skip
    words = f"the schema is at {found}, and this program needs {newest}"
    return fault("migrations", "old_migration", words, "mailproxy migrate")


def clock(skew: float) -> Finding:
    """Judge by how much the clocks differ."""
    if abs(skew) <= SKEW_SECONDS:
        return well("clock", f"{abs(skew) * 1000:.0f} ms from the database's")
    way = "ahead of" if skew > 0 else "behind"
    return fault(
        "clock", "clock_skew", f"this machine is {abs(skew):.1f} s {way} the database",
        "synchronise both clocks (chrony, systemd-timesyncd): schedules, expiries and retries "
        "go by them",
    )  # fmt: skip


def disk(path: str, free: int, total: int) -> Finding:
    """Judge the room of a folder."""
    words = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free at {path}"
    if free >= max(FREE_SHARE * total, FREE_OCTETS) or free >= 20 * 2**30:
        return well("disk", words)
    return fault(
        "disk", "full_disk", words,
        "make room: lower MAILPROXY_RETENTION_REPORT_DAYS, MAILPROXY_RETENTION_CONTENT_HOURS or "
        "MAILPROXY_BLOB_TOTAL_BYTES, or give it more",
    )  # fmt: skip


UNWRITTEN_SECONDS = 2.0
"""From when on an outcome that is not written is told."""


def lanes(found: Sequence[Dispatcher]) -> Iterator[Finding]:
    """Judge the dispatchers."""
    alive = [each for each in found if each.alive]
    for each in found:
        if not each.alive:
            yield fault(
                "dispatchers", "dead_dispatcher",
                f"{each.host} (pid {each.pid}) is silent for {span(each.silent_seconds)}, past "
                f"its lease of {span(each.lease_seconds)}",
                "another dispatcher takes over what it held; start one: mailproxy serve",
            )  # fmt: skip
        elif each.unwritten_seconds > UNWRITTEN_SECONDS:
            yield fault(
                "dispatchers", "unwritten_outcomes",
                f"{each.host} (pid {each.pid}) knows {each.unwritten} outcomes that the database "
                f"does not take, for {span(each.unwritten_seconds)}: sent, not yet written",
                "see its log for the reason; do not end it before they are written",
            )  # fmt: skip
    if not alive:
        yield fault(
            "dispatchers", "dead_dispatcher", "none is alive: nothing is sent",
            "start one: mailproxy serve, or mailproxy serve --role dispatcher",
        )  # fmt: skip
    else:
        hosts = len({each.host for each in alive})
        yield well("dispatchers", f"{len(alive)} alive on {hosts} host{'s' * (hosts > 1)}")


def leases(found: Sequence[Stuck]) -> Finding:
    """Judge what is held by nobody who is alive."""
    if not found:
        return well("leases", "nothing is held by a dispatcher that is gone")
    count = sum(each.held for each in found)
    oldest = max(each.seconds for each in found)
    return fault(
        "leases", "stuck_lease",
        f"{count} deliveries are held by dispatchers that are gone, for up to {span(oldest)}",
        "a live dispatcher takes them over within a quarter of MAILPROXY_LEASE_SECONDS: see that "
        "one runs",
    )  # fmt: skip


_BREAKERS = {
    Reason.RELAY_AUTH: ("wrong_password", "mailproxy account set {id} --password-stdin"),
    Reason.RELAY_TLS: ("relay_tls", "mailproxy account verify {id}"),
    Reason.QUOTA_EXHAUSTED: ("relay_quota", "wait, raise the quota, or ask the provider"),
}


def relay(each: Broken) -> Finding:
    """Judge an open breaker."""
    reason = Reason(each.reason)
    name, remedy = _BREAKERS.get(reason, ("relay_down", "mailproxy account verify {id}"))
    said = f"{each.code} {each.text}" if each.code else each.detail
    if reason is Reason.RELAY_TLS and "expired" in said:
        name, remedy = "expired_certificate", "renew the relay's certificate; then: " + remedy
    since = each.since.astimezone(UTC).isoformat(" ", "seconds")
    return fault(
        f"account {each.account_id}", name,
        f"its relay does not work since {since}: {reason.name.lower()}, {said or 'no words'}",
        remedy.format(id=each.account_id),
    )  # fmt: skip


def waits(each: Waiting, now: datetime, older: float) -> Finding | None:
    """Judge an account that has due mail; None when nothing is remarkable."""
    subject = f"account {each.account_id}"
    last = f"sent last {span((now - each.last_sent_at).total_seconds())} ago" if (
        each.last_sent_at
    ) else "sent nothing today"  # fmt: skip
    queue = f"{each.due} are due, the oldest for {span(each.oldest_seconds)}; {last}"
    if each.paused:
        note = f" ({each.note})" if each.note else ""
        return fault(
            subject, "paused_account", f"it is paused{note}: {queue}",
            f"mailproxy queue resume --account {each.account_id}",
        )  # fmt: skip
    room = windows.room(Usage.from_json(each.usage), windows.limits_of(each.limits), now)
    if room.opens_at is not None:
        return fault(
            subject, "exhausted_limit",
            f"its limits have no room until {room.opens_at.isoformat(' ', 'seconds')}: {queue}",
            f"wait, or raise them: mailproxy account set {each.account_id} --limit 1000/h",
        )  # fmt: skip
    if each.oldest_seconds > older:
        return fault(
            subject, "backlog", queue,
            "see what holds it: mailproxy message explain ID; add dispatchers or connections",
        )  # fmt: skip
    return None


def hygiene(found: Sequence[Holder]) -> Iterator[Finding]:
    """Judge what keeps vacuum from cleaning up."""
    for each in found:
        yield fault(
            "vacuum", "long_transaction",
            f"{each.kind} {each.name} holds back vacuum for {span(each.seconds)}, {each.age} "
            "transactions",
            {
                "session": "end it: SELECT pg_terminate_backend(pid)",
                "slot": "drop it if nobody needs it: SELECT pg_drop_replication_slot(name)",
                "prepared": "COMMIT PREPARED or ROLLBACK PREPARED",
            }[each.kind],
        )  # fmt: skip
    if not found:
        yield well("vacuum", "no old transaction, slot or prepared transaction holds it back")


def replication(found: Replication, *, required: bool) -> Iterator[Finding]:
    """Judge what a failover would cost, and whether it would be noticed."""
    name_them = "name the standbys in PostgreSQL's synchronous_standby_names"
    if required and not found.synchronous:
        yield fault(
            "standbys", "not_synchronous",
            "MAILPROXY_REQUIRE_SYNCHRONOUS is on and synchronous_standby_names is empty: nothing "
            "is taken or sent", name_them,
        )  # fmt: skip
    elif found.standbys and not found.synchronous:
        yield warning(
            "standbys", "asynchronous_standby",
            f"{found.standbys} connected, and commits wait for none: a failover loses the last "
            "moments, accepted mail among them", name_them,
        )  # fmt: skip
    elif found.synchronous:
        yield well("standbys", f"commits wait for {found.synchronous}")
    if not found.known:
        yield warning(
            "identity", "unknown_identity",
            "this role cannot read pg_control_system() or pg_current_wal_lsn(): not every restore "
            "is noticed",
            "GRANT EXECUTE on them, or run `mailproxy migrate --new-log` after each restore",
        )  # fmt: skip


def totals(counts: Counts, depth: int) -> Finding:
    """Say how much there is."""
    words = (
        f"{counts.pending} to do, {counts.due} due now; within the hour {counts.sent} sent, "
        f"{counts.failed} failed; {counts.accounts} accounts, {counts.tenants} tenants"
    )
    if counts.pending > 0.8 * depth:
        remedy = "raise MAILPROXY_QUEUE_DEPTH, or see why it is not sent"
        return warning("queue", "queue_full", f"{words}; the limit is {depth} a tenant", remedy)
    if counts.failed > 5 and counts.failed > 0.05 * (counts.sent + counts.failed):
        return warning("queue", "errors", words, "mailproxy message list --state failed")
    return well("queue", words)


def certificate(path: str, ends: datetime, now: datetime) -> Finding:
    """Judge the server's own certificate."""
    left = (ends - now).total_seconds()
    if left <= 0:
        return fault(
            "certificate", "expired_certificate", f"{path} expired {span(-left)} ago",
            "renew it and restart: MAILPROXY_TLS_CERTIFICATE is read at start",
        )  # fmt: skip
    if left < CERTIFICATE_DAYS * 86400:
        words = f"{path} ends in {span(left)}"
        return warning("certificate", "certificate_ends", words, "renew it")
    return well("certificate", f"{path} is valid for {span(left)}")


def span(seconds: float) -> str:
    """Give a length of time in words."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
