"""The server behind PgBouncer in transaction mode: all works, hints come by the direct way."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from mailproxy import Message
from mailproxy_server.queue.role_settings import wanted

from tests.support.pooler import pooling
from tests.support.relay import ScriptedRelay
from tests.support.relay_script import Seen
from tests.support.replicas import client_of, replica
from tests.support.serving import ROOT

PAGE = (ROOT / "docs/scale.md").read_text()
pytestmark = pytest.mark.needs_debian("pgbouncer")


def refusing(seen: Seen) -> str | None:
    return "550 5.1.1 no" if "nobody" in seen.line else None


def test_the_page_names_every_setting_of_a_session() -> None:
    _, _, told = PAGE.partition("IN DATABASE … SET`): ")
    named = set(re.findall(r"`(\w+)`", told.partition(". A session")[0]))
    assert named == set(wanted(10))


@asynccontextmanager
async def opened_before(through: str) -> AsyncIterator[None]:
    """Have the pooler hold idle connections from before the role got its settings."""

    links = [await asyncpg.connect(through, statement_cache_size=0) for _ in range(4)]
    for link in links:  # each in a transaction that is open: none can share another's
        await link.execute("BEGIN")
    for link in links:
        await link.execute("COMMIT")
        await link.close()
    yield


async def test_mail_is_taken_in_sent_reported_and_limited_through_a_pooler(
    database_url: str, tmp_path: Path
) -> None:
    settings: dict[str, float | str] = {"database_direct_url": database_url, "dispatchers": 2}
    async with (
        pooling(database_url) as through,
        opened_before(through),
        ScriptedRelay({"RCPT": refusing}) as relay,
        replica(tmp_path, through, settings=settings) as run,
        client_of(run) as client,
    ):
        for account, limits in (("shop", ()), ("slow", ("1000/min",))):
            await client.update_account(
                account, allow_missing=True, host="127.0.0.1", port=relay.port, tls="none",
                limits=limits,
            )  # fmt: skip
        reports = client.delivery_reports()
        letters = [
            Message(from_address="a@a.test", to=f"{name}{n}@b.test", text="x", account=account)
            for n in range(50)
            for name, account in (("u", "shop"), ("nobody", "shop"), ("l", "slow"))
        ]
        sent = await client.submit_many(letters)
        assert all(not isinstance(one, Exception) for one in sent)
        events: list[int] = []
        async with asyncio.timeout(60):
            async for report in reports:
                events.append(report.event)
                if len(events) == len(letters):
                    break
        assert (events.count(2), events.count(3)) == (100, 50)
        assert run.err == "", "no statement failed"
        loop = asyncio.get_running_loop()
        began = loop.time()
        one = await client.submit(from_address="a@a.test", to="b@b.test", text="x", account="shop")
        await one.wait()
        assert loop.time() - began < 10, "by a hint, and not by the poll of 30 s"
