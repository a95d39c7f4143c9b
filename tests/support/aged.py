"""Messages of other days, for tests of what is removed when it is old."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.queue import days, hot, read, requeue, retention
from mailproxy_server.queue.ids import born, uuid7

from tests.support.queue import SENT, Queue

FAILED = Outcome.failed(Reason.RECIPIENT_REFUSED)
DEFERRED = Outcome.deferred(Reason.THROTTLED, 3600.0)
DAY = timedelta(days=1)
Link = hot.Connection


def today() -> date:
    return datetime.now(UTC).date()


async def submit(
    mail_queue: Queue,
    ago: timedelta,
    recipients: Sequence[str] = ("a@b.test",),
    request_id: str = "",
) -> UUID:
    """Queue a message as if it had been taken in `ago`; give its id."""
    born = int((datetime.now(UTC) - ago).timestamp() * 1000)
    message = mail_queue.message(recipients, request_id=request_id or None)
    message = replace(message, message_id=uuid7(born, os.urandom(10)))
    await mail_queue.submit(message)
    return message.message_id


async def attempt(
    mail_queue: Queue, ago: timedelta = timedelta(0), outcome: Outcome = SENT, limit: int = 100
) -> int:
    """Settle what is due, as if that had been `ago`; called with the oldest first."""
    async with hot.connection(mail_queue.pool) as link:
        before = (await read.head(link, mail_queue.tenant_id)).last_offset
    rows = await mail_queue.claim(limit)
    count = await mail_queue.settle(rows, outcome) if rows else 0
    if ago:
        async with hot.connection(mail_queue.pool) as link:
            await days.ensure(link, today() - ago, ahead=1)
        await mail_queue.pool.execute(
            """UPDATE mailproxy.report_log SET reported_at = reported_at - $1::interval
               WHERE tenant_id = $2 AND log_offset > $3""",
            ago,
            mail_queue.tenant_id,
            before,
        )
    return count


async def finish(mail_queue: Queue, ago: timedelta, request_id: str = "") -> UUID:
    """Have a message taken in and sent `ago`; give its id."""
    message_id = await submit(mail_queue, ago, request_id=request_id)
    assert await attempt(mail_queue, ago) == 1
    return message_id


@asynccontextmanager
async def dropping(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Connect as a custodian does that drops days."""
    settings = hot.SETTINGS | retention.SETTINGS
    link = await asyncpg.connect(url, server_settings=settings)
    try:
        yield link
    finally:
        await link.close()


async def content_of(mail_queue: Queue, message_id: UUID) -> bytes | None:
    """Give the message's content, None when there is no such message."""
    found: bytes | None = await mail_queue.pool.fetchval(
        "SELECT content FROM mailproxy.messages WHERE message_id = $1", message_id
    )
    return found


async def add_account(mail_queue: Queue) -> None:
    """Make the queue's account, which a requeue asks for."""
    await mail_queue.pool.execute(
        """INSERT INTO mailproxy.accounts (tenant_id, account_id, host, port, tls,
             tls_insecure_skip_verify, tls_ca_certificates, username, ehlo_name,
             max_connections, max_recipients_per_transaction, max_messages_per_connection,
             idle_ttl_seconds, pipelining, is_default)
           VALUES ($1, $2, 'h', 25, 'none', false, '', '', '', 1, 1, 1, 1, true, false)""",
        mail_queue.tenant_id,
        mail_queue.account_id,
    )


async def again(mail_queue: Queue, message_id: UUID, link: Link | None = None) -> list[str]:
    """Bring back what has failed of a message."""
    since = born(message_id) - read.CLOCKS
    async with hot.connection(mail_queue.pool) if link is None else _given(link) as one:
        return await requeue.requeue(one, mail_queue.tenant_id, message_id, since, [], None)


@asynccontextmanager
async def _given(link: Link) -> AsyncIterator[Link]:
    yield link
