"""The audit of limits: what the report log says of every sliding window."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from mailproxy_server.cli.root import app
from mailproxy_server.mail.delivery import Event, Reason
from mailproxy_server.queue import audit, hot
from mailproxy_server.queue.lowwater import BEGINNING
from typer.testing import CliRunner, Result

from tests.support.queue import Queue, add_tenant

BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=100)
FIVE = {"count": 5, "window": 1.0, "unit": "recipients"}
TWO_MESSAGES = {"count": 2, "window": 1.0, "unit": "messages"}


@dataclass
class Log:
    """The report log of one tenant, written by hand."""

    mail_queue: Queue
    tenant: str
    tenant_id: UUID
    written: int = 0

    async def add_account(self, account_id: str, limits: Sequence[object], group: str = "") -> None:
        await self.mail_queue.pool.execute(
            """INSERT INTO mailproxy.accounts (tenant_id, account_id, host, port, tls,
                   tls_insecure_skip_verify, tls_ca_certificates, username, ehlo_name,
                   max_connections, max_recipients_per_transaction, max_messages_per_connection,
                   idle_ttl_seconds, pipelining, is_default, limits, rate_group)
               VALUES ($1, $2, 'relay.test', 25, 'none', false, '', '', '', 9, 50, 0, 60, true,
                       false, $3, $4)""",
            self.tenant_id,
            account_id,
            json.dumps(limits),
            group,
        )

    async def mail(
        self,
        at: float | None,
        recipients: int = 1,
        *,
        account_id: str = "demo",
        reason: Reason = Reason.NONE,
        apart: float = 0,
    ) -> None:
        """Report one MAIL; `apart` are the seconds between its recipients' instants."""
        message_id = uuid4()
        for number in range(recipients):
            seconds = None if at is None else timedelta(seconds=at + number * apart)
            self.written += 1
            await self.mail_queue.pool.execute(
                """INSERT INTO mailproxy.report_log (tenant_id, log_offset, reported_at, message_id,
                       recipient_no, account_id, recipient, event, reason, attempt, mail_at,
                       possible_duplicate)
                   VALUES ($1, $2, now(), $3, $4, $5, 'u@b.test', $6, $7, 1, $8, false)""",
                self.tenant_id,
                self.written,
                message_id,
                number,
                account_id,
                Event.DEFERRED if reason else Event.SENT,
                reason,
                None if seconds is None else BEGIN + seconds,
            )

    async def audited(self, *arguments: str, account_id: str = "demo") -> tuple[int, Any]:
        ended = await self.ran("limits", account_id, "--tenant", self.tenant, "--json", *arguments)
        return ended.exit_code, json.loads(ended.stdout)

    async def ran(self, *arguments: str) -> Result:
        environment = {"MAILPROXY_DATABASE_URL": self.mail_queue.url, "COLUMNS": "200"}
        return await asyncio.to_thread(
            CliRunner().invoke, app, ["audit", *arguments], env=environment
        )


@pytest.fixture
async def log(mail_queue: Queue) -> Log:
    name = await mail_queue.pool.fetchval("SELECT name FROM mailproxy.tenants")
    return Log(mail_queue, name, mail_queue.tenant_id)


async def test_a_limit_that_was_kept_is_said_to_be(log: Log) -> None:
    await log.add_account("demo", [FIVE, TWO_MESSAGES])
    for second in (0, 1.2, 2.4):
        await log.mail(second, 4)
        await log.mail(second + 0.1, 1)
    code, found = await log.audited()
    assert code == 0
    assert (found["exceeded"], found["messages"], found["recipients"]) == (False, 6, 15)
    assert [each["fullest"] for each in found["limits"]] == [5, 2]
    ended = await log.ran("limits", "demo", "--tenant", log.tenant)
    assert ended.exit_code == 0
    assert "No limit was exceeded in any window." in ended.stdout


async def test_the_window_in_which_a_limit_was_exceeded_is_told(log: Log) -> None:
    await log.add_account("demo", [FIVE, TWO_MESSAGES])
    await log.mail(0, 3)
    await log.mail(0.8, 1)
    await log.mail(1.4, 2)
    await log.mail(1.7, 3)
    code, found = await log.audited()
    assert (code, found["exceeded"]) == (1, True)
    by_recipients, by_messages = found["limits"]
    assert (by_recipients["fullest"], by_recipients["exceeded"]) == (6, True)
    assert datetime.fromisoformat(by_recipients["begin"]) == BEGIN + timedelta(seconds=0.8)
    assert (by_messages["fullest"], by_messages["exceeded"]) == (3, True)
    ended = await log.ran("limits", "demo", "--tenant", log.tenant)
    assert ended.exit_code == 1
    assert "EXCEEDED" in ended.stdout


async def test_an_interrupted_attempt_counts_at_its_reservation_as_one_transaction(
    log: Log,
) -> None:
    await log.add_account("demo", [TWO_MESSAGES])
    await log.mail(0.01, 5, reason=Reason.INTERRUPTED, apart=0.00001)
    await log.mail(0.5)
    code, found = await log.audited()
    assert (code, found["limits"][0]["fullest"], found["recipients"]) == (0, 2, 6)
    await log.mail(0.9, 1, reason=Reason.INTERRUPTED)
    assert (await log.audited())[0] == 1


async def test_what_was_not_attempted_or_is_of_others_does_not_count(log: Log) -> None:
    await log.add_account("demo", [FIVE])
    await log.add_account("other", [FIVE])
    await log.mail(None, 9, reason=Reason.ACCOUNT_DELETED)
    await log.mail(0, 9, account_id="other")
    stranger = Log(log.mail_queue, "stranger", await add_tenant(log.mail_queue.pool, "stranger"))
    await stranger.mail(0, 9)
    code, found = await log.audited()
    assert (code, found["recipients"], found["limits"][0]["begin"]) == (0, 0, None)


async def test_accounts_of_a_group_count_together(log: Log) -> None:
    await log.add_account("demo", [FIVE], group="g")
    await log.add_account("other", [], group="g")
    await log.mail(0, 3)
    await log.mail(0.5, 3, account_id="other")
    code, found = await log.audited()
    assert (code, found["accounts"], found["limits"][0]["fullest"]) == (1, ["demo", "other"], 6)


async def test_other_limits_may_be_named_and_a_beginning(log: Log) -> None:
    await log.add_account("demo", [])
    for second in range(60):
        await log.mail(second, 2)
    code, found = await log.audited("--limit", "22/10s", "--limit", "61/1m/messages")
    assert (code, [each["fullest"] for each in found["limits"]]) == (0, [22, 60])
    begin = (BEGIN + timedelta(seconds=30)).isoformat()
    code, found = await log.audited("--limit", "22/10s", "--limit", "59/1m", "--since", begin)
    assert (code, [each["fullest"] for each in found["limits"]]) == (1, [22, 60])
    ended = await log.ran("limits", "demo", "--tenant", log.tenant)
    assert (ended.exit_code, "no limits" in ended.stdout) == (0, True)


@pytest.mark.parametrize("wrong", ["30", "30/10", "0/1s", "30/0s", "30/10s/bytes", "x/1s"])
async def test_a_limit_that_is_none_is_wrong_usage(log: Log, wrong: str) -> None:
    assert (await log.ran("limits", "demo", "--limit", wrong)).exit_code == 2


async def test_an_account_that_is_not_there_is_named(log: Log) -> None:
    ended = await log.ran("limits", "nobody", "--tenant", log.tenant)
    assert ended.exit_code == 1
    assert "no account 'nobody'" in ended.stderr


async def test_a_large_log_is_read_in_order_whatever_the_order_of_its_reports(log: Log) -> None:
    await log.mail_queue.pool.execute(
        """INSERT INTO mailproxy.report_log (tenant_id, log_offset, reported_at, message_id,
               recipient_no, account_id, recipient, event, reason, attempt, mail_at,
               possible_duplicate)
           SELECT $1, n, now(), gen_random_uuid(), 0, 'demo', 'u@b.test', 2, 0, 1,
                  $2::timestamptz + n * 7919 % 20000 * interval '1 millisecond', false
           FROM generate_series(1, 20000) n""",
        log.tenant_id,
        BEGIN,
    )
    async with hot.connection(log.mail_queue.pool) as link:
        found = [each async for each in audit.mails(link, log.tenant_id, ["demo"], BEGINNING)]
    assert sum(each.messages for each in found) == 20_000
    assert [each.at for each in found] == sorted(each.at for each in found)
