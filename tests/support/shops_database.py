"""An application's own database with an outbox, and mail put into it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
from mailproxy_server.queue import migrations

from tests.support.outbox_desk import EMAIL
from tests.support.postgres import Cluster

Link: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Shop: TypeAlias = tuple[str, Link]
"""The database's URL, and a connection to it."""


@asynccontextmanager
async def database_of_a_shop(postgres: Cluster) -> AsyncIterator[Shop]:
    """Make another database, with an outbox by the SQL that `mailproxy outbox sql` prints."""
    url = await asyncio.to_thread(postgres.make_database, migrated=False)
    link = await asyncpg.connect(url)
    outbox = Path(migrations.__file__).with_name("outbox.sql").read_text()
    await link.execute(f"CREATE SCHEMA mailproxy; {outbox}")
    yield url, link
    await link.close()
    await asyncio.to_thread(postgres.drop_database, url)


async def put_in(link: Link, count: int, email: object = EMAIL, **request: str) -> None:
    """Put so many emails into its outbox."""
    for _ in range(count):
        await link.execute(
            "SELECT mailproxy.submit($1::json, $2)", json.dumps(email), request.get("request_id")
        )
