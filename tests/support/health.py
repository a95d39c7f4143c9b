"""Breakers, probes and throttles in tests: what replicas do to them, and time.

Time passes by making older what an account's health remembers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Reply, Stage
from mailproxy_server.queue import health, hot, probes
from mailproxy_server.queue.health import Cause, Health

from tests.support.queue import Queue

AWAY = Cause("fault", Reason.RELAY_UNREACHABLE, stage=Stage.CONNECT, detail="refused")
REFUSED = Cause("auth", Reason.RELAY_AUTH, Reply(535, "5.7.8", "bad\0credentials"), Stage.AUTH)
USED_UP = Cause("quota", Reason.QUOTA_EXHAUSTED, Reply(550, "5.4.5", "limit"), Stage.DOT)
REPLICAS = 8

Ask = Callable[[hot.Connection], Awaitable[Any]]


async def ask(mail_queue: Queue, one: Ask) -> Any:
    async with hot.connection(mail_queue.pool) as link:
        return await one(link)


async def by_all(mail_queue: Queue, one: Ask) -> list[Any]:
    """Each of the replicas asks the same, at once and on a connection of its own."""
    return await asyncio.gather(*(ask(mail_queue, one) for _ in range(REPLICAS)))


async def fares(mail_queue: Queue) -> Health:
    (found,) = await ask(
        mail_queue, lambda link: health.read(link, mail_queue.tenant_id, [mail_queue.account_id])
    )
    assert isinstance(found, Health)
    return found


def opening(mail_queue: Queue, cause: Cause = AWAY, revision: int = 1, **seams: Any) -> Ask:
    key = mail_queue.tenant_id, mail_queue.account_id
    return lambda link: health.open_breaker(link, *key, cause, 30.0, revision, **seams)


def closing(mail_queue: Queue, revision: int | None = None) -> Ask:
    key = mail_queue.tenant_id, mail_queue.account_id
    return lambda link: health.close_breaker(link, *key, revision)


def taking(mail_queue: Queue, **seams: Any) -> Ask:
    key = mail_queue.tenant_id, mail_queue.account_id
    return lambda link: probes.take(link, *key, 120.0, **seams)


async def logged(mail_queue: Queue) -> list[tuple[int, int]]:
    return [(report.log_offset, report.event) for report in await mail_queue.reports()]


async def sooner(mail_queue: Queue, seconds: float) -> None:
    """Let all that the accounts' health waits for come so many seconds sooner."""
    await mail_queue.pool.execute(
        """UPDATE mailproxy.relay_health
           SET opened_at = opened_at - $1 * interval '1 second',
               probe_at = probe_at - $1 * interval '1 second',
               throttled_at = throttled_at - $1 * interval '1 second'""",
        seconds,
    )
