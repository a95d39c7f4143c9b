"""`mailproxy diagnose` names each of twelve faults that are put in on purpose."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import trustme
from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2, delivery_pb2, queue_pb2
from mailproxy_server.queue import role_settings
from mailproxy_server.queue.migrations import newest, upgrade
from mailproxy_server.queue.sessions import Sessions

from tests.support.certificates import certificates
from tests.support.debian import require
from tests.support.diagnosing import Doctor, doctor
from tests.support.emails import composed
from tests.support.pooler import pooling
from tests.support.postgres import Cluster
from tests.support.relay import SILENCE, ScriptedRelay
from tests.support.relay_script import Turn
from tests.support.replicas import client_of, replica
from tests.support.served import Front, dispatching, front_on
from tests.support.small_disk import tiny_disk

ONE_AN_HOUR = account_pb2.RateLimit(count=1, window=Duration(seconds=3600))


@asynccontextmanager
async def sending(
    url: str, script: dict[str, Turn] | None = None, **relay_options: Any
) -> AsyncIterator[tuple[Front, ScriptedRelay]]:
    """A front, a dispatcher, and a relay that does as it is told."""
    async with (
        ScriptedRelay(script or {}, **relay_options) as relay,
        front_on(url) as front,
        dispatching(front),
    ):
        yield front, relay


async def submit(front: Front, account_id: str, count: int = 1) -> None:
    for _ in range(count):
        await front.first.submit(composed({"account_id": account_id}))


async def test_all_is_well_with_a_server_that_works(database_url: str) -> None:
    async with sending(database_url) as (front, relay):
        await front.first.make_account(relay.port, "shop")
        await submit(front, "shop", 3)
        await relay.until(lambda: len(relay.messages) == 3, "sent")
        assert await doctor(database_url).says() == {}


async def test_a_relay_that_is_down(database_url: str) -> None:
    async with sending(database_url) as (front, _):
        await front.first.make_account(1, "shop")
        await submit(front, "shop")
        said = await doctor(database_url).until("relay_down")
        assert said["subject"] == "account shop"
        assert said["remedy"] == "mailproxy account verify shop"


async def test_a_wrong_password(database_url: str) -> None:
    async with sending(database_url, credentials=("u", "another")) as (front, relay):
        await front.first.make_account(relay.port, "shop", username="u", password="p-canary")
        await submit(front, "shop")
        said = await doctor(database_url).until("wrong_password")
        assert "relay_auth, 535" in said["words"]
        assert "p-canary" not in str(said)


async def test_a_paused_account(database_url: str) -> None:
    async with sending(database_url) as (front, relay):
        await front.first.make_account(relay.port, "shop")
        pause = queue_pb2.PauseQueueRequest(
            selector=delivery_pb2.Selector(account_id="shop"), note="until Monday"
        )
        await front.first.call(front.first.queue.PauseQueue, pause)
        await submit(front, "shop", 2)
        said = await doctor(database_url).until("paused_account")
        assert "until Monday" in said["words"]
        assert "2 are due" in said["words"]


async def test_an_exhausted_limit(database_url: str) -> None:
    async with sending(database_url) as (front, relay):
        await front.first.make_account(relay.port, "shop", limits=[ONE_AN_HOUR])
        await submit(front, "shop", 3)
        said = await doctor(database_url).until("exhausted_limit")
        assert "no room until" in said["words"]


async def test_a_stuck_lease_and_a_dead_dispatcher(database_url: str, tmp_path: Path) -> None:
    settings: dict[str, float | str] = {"lease_seconds": 1}
    async with (
        ScriptedRelay({"DOT": SILENCE}) as relay,
        front_on(database_url) as front,
        replica(tmp_path, database_url, settings=settings) as run,
    ):
        await front.first.make_account(relay.port, "shop")
        await submit(front, "shop")
        await relay.until(lambda: relay.messages, "at the dot")
        run.kill()
        examined = doctor(database_url)
        lease = await examined.until("stuck_lease")
        assert "1 deliveries are held" in lease["words"]
        assert (await examined.says())["dead_dispatcher"]["level"] == "fault"


async def test_no_dispatcher_at_all(database_url: str) -> None:
    async with front_on(database_url):
        said = (await doctor(database_url).says())["dead_dispatcher"]
        assert "none is alive" in said["words"]


async def test_an_old_migration(postgres: Cluster) -> None:
    url = await asyncio.to_thread(postgres.make_database, migrated=False)
    assert (await doctor(url).says())["old_migration"]["words"] == "the database has no schema"
    await upgrade(url)
    link = await asyncpg.connect(url)
    await link.execute("UPDATE mailproxy.alembic_version SET version_num = '0006'")
    await link.close()
    said = (await doctor(url).says())["old_migration"]
    assert said["words"] == f"the schema is at 0006, and this program needs {newest()}"
    assert said["remedy"] == "mailproxy migrate"
    await asyncio.to_thread(postgres.drop_database, url)


@pytest.mark.needs_debian("faketime")
async def test_a_clock_that_is_wrong(database_url: str) -> None:
    false = {"LD_PRELOAD": require("faketime"), "FAKETIME": "-90s", "FAKETIME_NO_CACHE": "1"}
    said = (await Doctor(database_url, false).says())["clock_skew"]
    assert "90.0 s behind the database" in said["words"]


async def test_a_full_disk_here(database_url: str, tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "tiny") as tiny:
        (tiny / "filler").write_bytes(bytes(7 * 2**20))
        said = (await doctor(database_url, data_dir=str(tiny)).says())["full_disk"]
        assert str(tiny) in said["words"]


async def test_a_full_disk_of_the_database(postgres: Cluster, database_url: str) -> None:
    tiny = postgres.folder.parent / f"tiny-{os.getpid()}"
    owner = Path(parse_qs(urlsplit(database_url).query)["host"][0]).stat()
    link = await asyncpg.connect(database_url)
    with tiny_disk(tiny):
        os.chown(tiny, owner.st_uid, owner.st_gid)
        tiny.chmod(0o700)
        name = f"tiny_{os.getpid()}"
        await link.execute(f"CREATE TABLESPACE {name} LOCATION '{tiny}'")
        database = await link.fetchval("SELECT current_database()")
        await link.execute(f"ALTER DATABASE {database} SET temp_tablespaces = {name}")
        (tiny / "filler").write_bytes(bytes(8 * 2**20 - 64 * 1024))
        said = (await doctor(database_url).says())["full_disk"]
        assert "the database's disk is full" in said["words"]
        await link.execute(f"ALTER DATABASE {database} RESET temp_tablespaces")
        await link.execute(f"DROP TABLESPACE {name}")
    await link.close()


@pytest.mark.needs_debian("pgbouncer")
async def test_a_pooler_that_no_setting_tells_of(database_url: str) -> None:
    async with pooling(database_url) as through:
        said = (await doctor(through).says())["database_not_ours"]
        assert "a pooler is in between" in said["words"]
        assert "MAILPROXY_DATABASE_DIRECT_URL" in said["words"]
    direct = await Sessions(database_url).connect()
    await role_settings.give(direct, 10)
    await direct.close()
    async with pooling(database_url) as through:
        mended = await doctor(through, database_direct_url=database_url).says()
        assert mended.keys() == {"dead_dispatcher"}


async def test_an_expired_certificate_of_ours(database_url: str, tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("a.test", not_after=datetime.now(UTC) - timedelta(days=3))
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    said = await doctor(database_url, tls_certificate=str(certificate), tls_key=str(key)).says()
    assert "expired 3 d ago" in said["expired_certificate"]["words"]


async def test_an_expired_certificate_of_the_relay(database_url: str) -> None:
    shown = certificates(expired=True)
    async with ScriptedRelay({}, tls=shown.server) as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port, "shop")
        account = account_pb2.Account(
            account_id="shop", tls=account_pb2.TLS_MODE_STARTTLS,
            tls_ca_certificates=shown.authority,
        )  # fmt: skip
        change = account_pb2.ManageAccountRequest(
            action=account_pb2.ACCOUNT_ACTION_UPDATE, account=account
        )
        await front.first.call(front.first.accounts.ManageAccount, change)
        async with dispatching(front):
            await submit(front, "shop")
            said = await doctor(database_url).until("expired_certificate")
    assert said["subject"] == "account shop"
    assert "expired" in said["words"]


async def test_a_long_transaction(database_url: str) -> None:
    link = await asyncpg.connect(database_url, server_settings={"application_name": "backup"})
    await link.execute("BEGIN")
    await link.fetchval("SELECT txid_current()")
    said = await doctor(database_url).until("long_transaction", "--old-seconds", "1")
    assert "backup" in said["words"]
    assert "pg_terminate_backend" in said["remedy"]
    await link.close()


async def test_a_database_that_is_away(tmp_path: Path) -> None:
    said = await doctor("postgresql://mailproxy@127.0.0.1:1/none").says()
    assert "cannot be reached" in said["database_away"]["words"]


async def test_a_backlog(database_url: str, tmp_path: Path) -> None:
    async with replica(tmp_path, database_url, "--role", "front") as run, client_of(run) as client:
        await client.update_account("shop", allow_missing=True, host="127.0.0.1", port=1)
        await client.submit(from_address="a@a.test", to="b@b.test", text="x", account="shop")
        said = await doctor(database_url).until("backlog", "--old-seconds", "1")
        assert "1 are due" in said["words"]
