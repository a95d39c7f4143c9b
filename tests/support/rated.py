"""Claims under limits, for tests: an account with some, and short words for what was claimed."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from mailproxy_server.accounts.account import Account
from mailproxy_server.dispatcher.rated import Rated, claim_within
from mailproxy_server.policy import windows
from mailproxy_server.policy.retry import RetryPolicy
from mailproxy_server.policy.usage import Usage
from mailproxy_server.policy.windows import Limit
from mailproxy_server.queue import hot, reserve

from tests.support.queue import OPEN, Queue

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def account(
    mail_queue: Queue, *limits: Limit, most: int = 50, group: str = "", account_id: str = "demo"
) -> Account:
    return Account(
        tenant_id=mail_queue.tenant_id,
        account_id=account_id,
        host="relay.test",
        port=25,
        tls="none",
        tls_insecure_skip_verify=False,
        tls_ca_certificates="",
        username="",
        has_password=False,
        ehlo_name="",
        max_connections=10,
        max_recipients_per_transaction=most,
        max_messages_per_connection=0,
        idle_ttl_seconds=60,
        pipelining=True,
        is_default=True,
        limits=limits,
        limit_behavior="defer",
        rate_group=group,
        retry=RetryPolicy(),
        fallback_account_ids=(),
        failover_patience_seconds=60,
        capture=False,
        oauth=None,
        attachment_endpoints=(),
        dkim_keys=(),
        dkim_unsigned_headers=(),
        revision=1,
        generation=1,
        created_at=NOW,
        updated_at=NOW,
    )


async def claimed(
    mail_queue: Queue, by: Account, rows: int = 100, ready: int = 100, **seams: Any
) -> Rated:
    async with hot.connection(mail_queue.pool) as link:
        return await claim_within(link, by, mail_queue.worker_id, OPEN, rows, ready, **seams)


async def unwritten(link: hot.Connection, tenant_id: UUID, key: str, usage: Usage) -> None:
    """Write no reservation: what it is good for is seen without it."""


def taken(found: Rated) -> int:
    return len(found.claim.rows) if found.claim else 0


async def in_use(mail_queue: Queue, by: Account, limit: Limit) -> int:
    async with hot.connection(mail_queue.pool) as link:
        usage = (await reserve.read(link, by.tenant_id, [by.rate_key]))[by.rate_key]
        return windows.used(usage, limit, await reserve.clock(link))


async def unclaimed(mail_queue: Queue) -> int:
    found: int = await mail_queue.pool.fetchval(
        "SELECT count(*) FROM mailproxy.deliveries WHERE worker_id IS NULL"
    )
    return found
