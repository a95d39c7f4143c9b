"""`mailproxy.outbox` puts mail in by whatever connection an application has open."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import asyncpg
import psycopg
import pytest
from google.protobuf.json_format import ParseDict
from mailproxy import InvalidRequestError, outbox
from mailproxy.v1 import message_pb2
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.support.outbox_desk import EMAIL, LETTER, Desk
from tests.support.programs import running

DJANGO = """
import json, sys
import django
from django.conf import settings

settings.configure(DATABASES={"default": json.loads(sys.argv[1])})
django.setup()
from django.db import connection, transaction
from mailproxy import outbox

letter = json.loads(sys.argv[2])
with transaction.atomic():
    outbox.submit(connection, request_id="committed", **letter)
try:
    with transaction.atomic():
        outbox.submit(connection, request_id="rolled back", **letter)
        raise KeyError
except KeyError:
    pass
assert "grpc" not in sys.modules
"""
"""In a process of its own, as a site has it: Django is set up once, and for good."""


async def _put_in(desk: Desk, work: Callable[[str], None], scheme: str = "postgresql") -> None:
    url = desk.queue.url.replace("postgresql", scheme, 1)
    await asyncio.to_thread(work, url)


async def _is_queued(desk: Desk, *request_ids: str) -> None:
    """These were put in, and nothing else."""
    await desk.move()
    assert await desk.refused() == []
    rows = await desk.app.fetch("SELECT request_id FROM mailproxy.messages ORDER BY 1")
    assert [row[0] for row in rows] == sorted(request_ids)


async def test_psycopgs_connection_and_cursor(desk: Desk) -> None:
    def work(url: str) -> None:
        with psycopg.connect(url) as connection:
            outbox.submit(connection, tenant=desk.tenant, request_id="connection", **LETTER)
            with connection.cursor() as cursor:
                outbox.submit(cursor, tenant=desk.tenant, request_id="cursor", **LETTER)
            connection.commit()
            outbox.submit(connection, tenant=desk.tenant, request_id="undone", **LETTER)
            connection.rollback()

    await _put_in(desk, work)
    await _is_queued(desk, "connection", "cursor")


async def test_psycopgs_asynchronous_connection(desk: Desk) -> None:
    async with await psycopg.AsyncConnection.connect(desk.queue.url) as connection:
        await outbox.submit_async(connection, tenant=desk.tenant, request_id="one", **LETTER)
    await _is_queued(desk, "one")


async def test_sqlalchemys_session_and_connection(desk: Desk) -> None:
    def work(url: str) -> None:
        engine = create_engine(url)
        with Session(engine) as session, session.begin():
            outbox.submit(session, tenant=desk.tenant, request_id="session", **LETTER)
        with engine.begin() as connection:
            outbox.submit(connection, tenant=desk.tenant, request_id="connection", **LETTER)
        with Session(engine) as session:
            outbox.submit(session, tenant=desk.tenant, request_id="never committed", **LETTER)
        engine.dispose()

    await _put_in(desk, work, "postgresql+psycopg")
    await _is_queued(desk, "connection", "session")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_sqlalchemys_asynchronous_session_and_connection(desk: Desk, driver: str) -> None:
    engine = create_async_engine(desk.queue.url.replace("postgresql", f"postgresql+{driver}", 1))
    async with AsyncSession(engine) as session, session.begin():
        await outbox.submit_async(session, tenant=desk.tenant, request_id="session", **LETTER)
    async with engine.begin() as connection:
        await outbox.submit_async(connection, tenant=desk.tenant, request_id="connection", **LETTER)
    await engine.dispose()
    await _is_queued(desk, "connection", "session")


async def test_asyncpgs_connection_and_the_one_of_its_pool(desk: Desk) -> None:
    async with desk.app.transaction():
        await outbox.submit_async(desk.app, tenant=desk.tenant, request_id="connection", **LETTER)
    transaction = desk.app.transaction()
    await transaction.start()
    await outbox.submit_async(desk.app, tenant=desk.tenant, request_id="undone", **LETTER)
    await transaction.rollback()
    async with (
        asyncpg.create_pool(desk.queue.url, min_size=1, max_size=1) as pool,
        pool.acquire() as pooled,
    ):
        await outbox.submit_async(pooled, tenant=desk.tenant, request_id="pooled", **LETTER)
    await _is_queued(desk, "connection", "pooled")


async def test_a_connection_that_writes_json_in_its_own_way(desk: Desk) -> None:
    await desk.app.set_type_codec(
        "json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
    )
    await outbox.submit_async(desk.app, tenant=desk.tenant, request_id="one", **LETTER)
    await _is_queued(desk, "one")


async def test_django_within_its_transaction(desk: Desk) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(desk.queue.url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"],
        "USER": parts["user"],
        "HOST": parts["host"],
    }
    letter = LETTER | {"tenant": desk.tenant}
    async with running(
        sys.executable, "-c", DJANGO, json.dumps(database), json.dumps(letter)
    ) as process:
        assert await process.wait() == 0
    await _is_queued(desk, "committed")


async def test_an_email_of_the_contract_is_taken_as_it_is(desk: Desk) -> None:
    email = ParseDict(EMAIL | {"labels": {"a": "b"}}, message_pb2.Email())
    await outbox.submit_async(desk.app, email, tenant=desk.tenant, request_id="one")
    await _is_queued(desk, "one")
    assert await desk.app.fetchval("SELECT labels->>'a' FROM mailproxy.messages") == "b"
    with pytest.raises(TypeError, match="beside an Email: subject"):
        await outbox.submit_async(desk.app, email, subject="another")


async def test_without_a_request_id_each_call_is_a_message_of_its_own(desk: Desk) -> None:
    for _ in range(2):
        await outbox.submit_async(desk.app, tenant=desk.tenant, **LETTER)
    assert await desk.move() == await desk.queue.count("messages") == 2


async def test_what_would_lose_mail_in_silence_is_refused(desk: Desk) -> None:
    engine = create_async_engine(desk.queue.url.replace("postgresql", "postgresql+asyncpg", 1))
    async with AsyncSession(engine) as session:
        with pytest.raises(TypeError, match="neither a DB-API connection nor"):
            outbox.submit(session, **LETTER)
    await engine.dispose()
    for wrong in (desk.app, object()):
        with pytest.raises(TypeError, match="neither"):
            outbox.submit(wrong, **LETTER)
    with psycopg.connect(desk.queue.url) as threaded, pytest.raises(TypeError, match="neither"):
        await outbox.submit_async(threaded, **LETTER)
    with pytest.raises(TypeError, match="validate_only"):
        await outbox.submit_async(desk.app, validate_only=True, **LETTER)
    wrong_time: Any = {"priority": "at once"}
    with pytest.raises(InvalidRequestError, match=r"email\.priority"):
        await outbox.submit_async(desk.app, **LETTER, **wrong_time)
    assert await desk.queue.count("outbox") == 0


def test_it_loads_neither_grpc_nor_a_driver() -> None:
    script = (
        "import sys; from mailproxy import outbox; from mailproxy import Message; "
        "print({name.split('.')[0] for name in sys.modules} & {'grpc', 'sqlalchemy', 'asyncpg'})"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
