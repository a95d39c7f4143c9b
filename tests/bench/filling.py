"""Fills a queue with what a busy time leaves in it; what a claim costs is measured beside that.

All happens in the order of time and in steps: a step takes messages in, ends those that are
finished, and vacuums, so that later rows lie in the holes of earlier ones, as they do in life.
Half of everything belongs to the account that claims, the rest to accounts of other tenants.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from mailproxy_server.mail.delivery import Priority
from mailproxy_server.queue import days
from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.ids import uuid7

SCHEDULED = 1_000_000
RETRYING = 1_000_000
FINISHED = 5_000_000
"""Deliveries of each kind at full size; the finished ones are in the report log alone."""
STEPS = 7
AGE = timedelta(days=5)
"""How long ago the oldest was taken in: the retry policy tries for so long."""
_OTHERS = 20
_OTHER = "('00000000-0000-4000-8000-' || lpad(({})::text, 12, '0'))"
Told = Callable[[str], None]
_LONGEST = 300  # seconds for one statement


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is due, and when it was taken in."""

    born: datetime
    message_id: UUID
    priority: int
    due_at: datetime


def due(count: int, now: datetime) -> list[Due]:
    """Make `count` of all priorities, in the order in which they were taken in.

    Every second one was submitted just now, the others at any time since `AGE`: schedules and
    retries whose time has come.
    """
    made = []
    for n in range(count):
        due_at = now - timedelta(milliseconds=10 * n)
        born = now - AGE * ((n + 0.5) / count) if n % 2 else due_at
        message_id = uuid7(int(born.timestamp() * 1000), os.urandom(10))
        made.append(Due(born, message_id, tuple(Priority)[n // 2 % len(Priority)], due_at))
    return sorted(made, key=lambda each: each.born)


_BORN = """
CREATE UNLOGGED TABLE mailproxy.born AS
SELECT n, at, (array['scheduled', 'retrying', 'finished'])[least(n % 7, 2) + 1] AS state,
       CASE WHEN n % 2 = 0 THEN '{tenant_id}' ELSE {other} END::uuid AS tenant_id,
       CASE WHEN n % 2 = 0 THEN '{account_id}' ELSE 'account-' || n % 5 END AS account_id,
       ('{{10,20,20,30,30,30,30,30,40,40}}'::smallint[])[1 + n / 2 % 10] AS priority,
       (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || left(noise, 3)
        || '8' || substr(noise, 4, 15))::uuid AS message_id
FROM (SELECT n, md5(n::text) AS noise,
             now() - interval '{age} seconds' * (({all} - n) / {all}::float8) AS at
      FROM generate_series({first}, {last}) n) made
"""

_MESSAGES = """
INSERT INTO mailproxy.messages (tenant_id, message_id, account_id, priority, accepted_at,
                                return_path, content, recipient_count)
SELECT tenant_id, message_id, account_id, priority, at, 'a@a.test', 'x', 1
FROM mailproxy.born ORDER BY n
"""

_DELIVERIES = """
INSERT INTO mailproxy.deliveries (tenant_id, message_id, recipient_no, account_id, recipient,
                                  priority, due_at, expire_at, attempts, claim_no)
SELECT tenant_id, message_id, 0, account_id, 'user-' || n || '@b.test', priority,
       CASE state WHEN 'scheduled' THEN now() + interval '5 minutes' + random() * interval '30 days'
                  WHEN 'retrying' THEN now() + interval '5 minutes' + random() * interval '1 hour'
                  ELSE at END,
       CASE WHEN n % 3 = 0 THEN at + interval '60 days' END,
       (state = 'retrying')::integer, (state = 'retrying')::integer
FROM mailproxy.born ORDER BY n
"""

_END = """
DELETE FROM mailproxy.deliveries d USING mailproxy.born b
WHERE d.tenant_id = b.tenant_id AND d.message_id = b.message_id AND b.state = 'finished'
"""

_REPORTS = """
INSERT INTO mailproxy.report_log (tenant_id, log_offset, reported_at, message_id, recipient_no,
    account_id, recipient, event, reason, attempt, reply_code, reply_text, possible_duplicate,
    claim_no)
SELECT tenant_id, n, at, message_id, 0, account_id, 'user-' || n || '@b.test',
       CASE state WHEN 'finished' THEN 2 ELSE 1 END, 0, 1,
       CASE state WHEN 'finished' THEN 250 ELSE 450 END, 'so it is', false, 1
FROM mailproxy.born WHERE state <> 'scheduled' ORDER BY n
"""

_DUE = """
INSERT INTO mailproxy.deliveries (tenant_id, message_id, recipient_no, account_id, recipient,
                                  priority, due_at, expire_at)
SELECT $1, message_id, 0, $2, 'due@b.test', priority, due_at,
       CASE WHEN position % 3 = 0 THEN now() + interval '60 days' END
FROM unnest($3::uuid[], $4::smallint[], $5::timestamptz[])
     WITH ORDINALITY AS t(message_id, priority, due_at, position)
"""


@dataclass(frozen=True, slots=True)
class Filling:
    """What is put into a queue for the tenant and account that will claim."""

    url: str
    tenant_id: UUID
    account_id: str

    async def put_due(self, rows: Sequence[Due]) -> None:
        """Queue these."""
        async with self._link() as link:
            await link.execute(
                _DUE,
                self.tenant_id,
                self.account_id,
                [each.message_id for each in rows],
                [each.priority for each in rows],
                [each.due_at for each in rows],
            )

    async def fill(self, rows: Sequence[Due], share: int, told: Told = lambda _: None) -> None:
        """Queue these in the middle of one `share`-th of the full size; `told` how far it is."""
        everything = (SCHEDULED + RETRYING + FINISHED) // share
        now = datetime.now(UTC)
        await self._open_logs(now)
        first, since = 1, datetime.min.replace(tzinfo=UTC)
        for step in range(1, STEPS + 1):
            last = everything * step // STEPS
            until = now - AGE * (1 - step / STEPS)
            await self._take_in(first, last, everything)
            await self.put_due([each for each in rows if since < each.born <= until])
            first, since = last + 1, until
            told(f"{last:,} of {everything:,} messages are in")
        await self._run("VACUUM ANALYZE")

    async def _open_logs(self, now: datetime) -> None:
        """Make the other tenants, and the days of the report log."""
        await self._run(
            f"""INSERT INTO mailproxy.tenants (tenant_id, name)
                SELECT {_OTHER.format("no")}::uuid, 'other-' || no
                FROM generate_series(0, {_OTHERS - 1}) no"""
        )
        async with self._link() as link:
            await days.ensure(link, (now - AGE).date(), AGE.days + days.AHEAD)

    async def _take_in(self, first: int, last: int, everything: int) -> None:
        """Take in the messages numbered `first` to `last`, and end those of them that end."""
        await self._run(
            _BORN.format(
                tenant_id=self.tenant_id,
                account_id=self.account_id,
                other=_OTHER.format(f"n / 2 % {_OTHERS}"),
                age=AGE.total_seconds(),
                all=everything,
                first=first,
                last=last,
            )
        )
        await asyncio.gather(
            self._run("ANALYZE mailproxy.born", _DELIVERIES, _END, "VACUUM mailproxy.deliveries"),
            self._run(_MESSAGES, _REPORTS),
        )
        await self._run("DROP TABLE mailproxy.born")

    async def _run(self, *statements: str) -> None:
        async with self._link() as link:
            for one in statements:
                await link.execute(one, timeout=_LONGEST)

    @asynccontextmanager
    async def _link(self) -> AsyncIterator[Connection]:
        """Open an ordinary connection, whose planner may hash and scan."""
        link = await asyncpg.connect(self.url)
        try:
            yield link
        finally:
            await link.close()
