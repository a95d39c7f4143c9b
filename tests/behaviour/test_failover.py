"""A failover of PostgreSQL: nobody takes other reports for those that the standby lacked.

Debian's PostgreSQL, a primary and a streaming standby; the server is given both hosts.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from mailproxy import AsyncMailProxyClient, Message
from mailproxy.errors import CursorError, MailProxyError
from mailproxy.v1.delivery_pb2 import DeliveryReport
from mailproxy_server.queue import hot, migrations, read
from mailproxy_server.queue.identity import Change, Check
from mailproxy_server.queue.lineage import Head
from mailproxy_server.queue.sessions import Sessions
from mailproxy_server.queue.unavailable import CannotConnect

from tests.support.diagnosing import doctor
from tests.support.eventually import eventually
from tests.support.pooler import pooling
from tests.support.postgres_pair import PostgresPair, postgres_pair
from tests.support.queue import opened
from tests.support.replicas import client_of, replica
from tests.support.sinkhole import Sinkhole

pytestmark = [
    pytest.mark.needs_debian("postgresql-15"),
    pytest.mark.timeout(300),
    pytest.mark.long,
]
KEPT, LOST, LATER = 40, 60, 70
NOTICED = (
    "DROP TRIGGER begin_log ON mailproxy.report_heads",
    "DROP TABLE mailproxy.database_identity",
)
"""What takes the mechanism away."""


@dataclass
class Witness:
    """Sees reports from any stream, and which ids were those of two different ones."""

    seen: dict[str, tuple[object, ...]] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)

    def note(self, report: DeliveryReport) -> None:
        said = report.offset, report.message_id, report.event, report.event_time.ToNanoseconds()
        if self.seen.setdefault(report.report_id, said) != said:
            self.reused.add(report.report_id)


@dataclass
class Consumer:
    """Follows the reports; `offsets` are what it was given."""

    client: AsyncMailProxyClient
    witness: Witness
    start: str = "earliest"
    offsets: list[int] = field(default_factory=list)
    cursors: dict[int, str] = field(default_factory=dict)
    error: CursorError | None = None

    async def follow(self) -> None:
        try:
            async for report in self.client.delivery_reports(start=self.start):
                self.witness.note(report)
                self.offsets.append(report.offset)
                self.cursors[report.offset] = report.cursor
        except CursorError as error:
            self.error = error

    @asynccontextmanager
    async def following(self) -> AsyncIterator["Consumer"]:
        task = asyncio.create_task(self.follow())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def until(self, *offsets: int) -> list[int]:
        """Wait for the last of these offsets, or for an error; give what came."""
        done = lambda: self.error or self.offsets[-1:] == [*offsets][-1:]  # noqa: E731
        await eventually(done, f"offset {offsets[-1]}, at {self.offsets[-1:]}")
        return self.offsets


@dataclass
class Scene:
    """A server on a pair of PostgreSQLs."""

    pair: PostgresPair
    address: Path | None
    client: AsyncMailProxyClient
    witness: Witness = field(default_factory=Witness)

    async def submit(self, count: int) -> None:
        one = Message(from_address="a@a.test", to="b@b.test", text="Hi.\n")
        found = await self.client.submit_many([one] * count)
        assert not [one for one in found if isinstance(one, MailProxyError)]

    async def fail_over(self) -> None:
        await self.pair.fail_over()
        if self.address is not None:
            self.address.unlink()
            self.address.symlink_to(self.pair.primary.folder)

    def consumer(self, start: str = "earliest") -> Consumer:
        return Consumer(self.client, self.witness, start)


@asynccontextmanager
async def serving(folder: Path, *, pooled: bool = False) -> AsyncIterator[Scene]:
    folder.mkdir(mode=0o711)
    address = folder / "address"  # moves to the new primary, as a virtual IP does
    async with AsyncExitStack() as stack:
        pair = await stack.enter_async_context(postgres_pair(folder))
        sinkhole = await stack.enter_async_context(Sinkhole())
        url = await pair.make_database("mail")
        settings: dict[str, float | str] = {
            "poll_seconds": 0.5, "sweep_seconds": 0.5, "lease_seconds": 30
        }  # fmt: skip
        if pooled:
            address.symlink_to(pair.primary.folder)
            settings["database_direct_url"] = url
            url = await stack.enter_async_context(
                pooling(f"postgresql://mailproxy@/mail?host={address}")
            )
        run = await stack.enter_async_context(replica(folder, url, settings=settings))
        client = await stack.enter_async_context(client_of(run))
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        yield Scene(pair, address if pooled else None, client)


async def lose(scene: Scene, ahead: Consumer) -> None:
    """Have 40 reports that the standby gets and 60 that it does not, all of them seen, and fail
    over."""
    await scene.submit(KEPT)
    await ahead.until(*range(1, KEPT + 1))
    await scene.pair.caught_up()
    await scene.pair.cut_replication()
    await scene.submit(LOST)
    assert await ahead.until(KEPT + LOST) == list(range(1, KEPT + LOST + 1))
    await scene.fail_over()


@pytest.mark.parametrize(
    "pooled",
    [False, pytest.param(True, marks=pytest.mark.needs_debian("pgbouncer"), id="pgbouncer")],
)
async def test_a_standby_that_lacked_commits_has_nobody_take_other_reports_for_those_lost(
    data_dir: Path, pooled: bool
) -> None:
    async with serving(data_dir, pooled=pooled) as scene:
        async with scene.consumer().following() as ahead:
            await lose(scene, ahead)
            await scene.submit(LATER)  # the head passes where the consumer ahead was
            await eventually(lambda: ahead.error, "the consumer that is ahead is told")
        assert ahead.error is not None
        assert ahead.error.reason == "CURSOR_FOREIGN"
        assert ahead.error.metadata["common_offset"] == str(KEPT)
        assert ahead.offsets == list(range(1, KEPT + LOST + 1))

        whole = KEPT + LATER
        for start, first in (
            (ahead.error.metadata["common_cursor"], KEPT + 1),
            (ahead.cursors[5], 6),
            (ahead.cursors[KEPT], KEPT + 1),
            ("earliest", 1),
        ):
            async with scene.consumer(start).following() as level:
                assert await level.until(whole) == list(range(first, whole + 1))
                assert level.error is None
        for lost in (KEPT + 1, KEPT + LOST):
            async with scene.consumer(ahead.cursors[lost]).following() as late:
                await late.until(1)
            assert late.error is not None
            assert late.offsets == []
        assert scene.witness.reused == set()
        assert len(scene.witness.seen) == KEPT + LOST + LATER


async def test_control_without_noticing_offsets_and_ids_hold_other_reports_in_silence(
    data_dir: Path,
) -> None:
    async with serving(data_dir) as scene:
        for statement in NOTICED:
            await scene.pair.primary.fetchval(statement, database="mail")
        async with scene.consumer().following() as ahead:
            await lose(scene, ahead)
        await scene.submit(LATER)
        whole = KEPT + LATER
        async with scene.consumer().following() as anew:
            await anew.until(whole)
        async with scene.consumer(ahead.cursors[KEPT + LOST]).following() as late:
            assert await late.until(whole) == list(range(KEPT + LOST + 1, whole + 1))
        assert late.error is None
        assert len(scene.witness.reused) == LOST


async def test_a_lossless_switchover_cuts_nobody_off(data_dir: Path) -> None:
    async with serving(data_dir) as scene, scene.consumer().following() as consumer:
        await scene.submit(KEPT)
        await consumer.until(KEPT)
        await scene.pair.switch_over()
        await scene.submit(LATER)
        assert await consumer.until(KEPT + LATER) == list(range(1, KEPT + LATER + 1))
        assert consumer.error is None
        logs = [report_id.partition("-")[0] for report_id in scene.witness.seen]
        assert logs == [logs[0]] * KEPT + [logs[-1]] * LATER
        assert logs[0] != logs[-1]


async def test_a_dump_that_was_restored_is_noticed_and_shares_what_it_holds(
    data_dir: Path,
) -> None:
    data_dir.mkdir(mode=0o711)
    async with postgres_pair(data_dir) as pair:
        url, again = await pair.make_database("mail"), await pair.make_database("again")
        await migrations.upgrade(url)
        async with opened(url) as queue:
            await queue.submit_many(5)
            await queue.settle(await queue.claim(3))
            before = await _head(url, queue.tenant_id)
            dump, host = str(pair.primary.folder / "dump"), f"--host={pair.primary.folder}"
            words = host, "--username=mailproxy"
            await pair.primary.run("pg_dump", *words, "-Fc", "-f", dump, "mail")
            await queue.settle(await queue.claim(2))
        await pair.primary.run("pg_restore", *words, "-d", "again", dump)
        told: list[Change] = []
        check = Check(changed=told.append)
        for _ in range(2):
            await (await Sessions(again, check=check).connect()).close()
        assert [change.logs for change in told] == [1]
        after = await _head(again, queue.tenant_id)
        shared = after.shared(before.log_id)
        assert shared is not None
        assert (shared.last_offset, after.last_offset) == (3, 3)
        assert after.log_id != before.log_id


async def _head(url: str, tenant_id: UUID) -> Head:
    pool = await hot.open_pool(url, size=1, statement_timeout=10)
    try:
        async with hot.connection(pool) as link:
            return await read.head(link, tenant_id)
    finally:
        await pool.close()


async def test_where_a_standby_is_required_nothing_is_answered_that_it_lacks(
    data_dir: Path,
) -> None:
    data_dir.mkdir(mode=0o711)
    async with postgres_pair(data_dir) as pair:
        url = await pair.make_database("mail")
        await migrations.upgrade(url)
        assert "asynchronous_standby" in await doctor(url).says()
        assert "not_synchronous" in await doctor(url, require_synchronous="true").says()
        sessions = Sessions(url, check=Check(synchronous=True))
        with pytest.raises(CannotConnect, match="MAILPROXY_REQUIRE_SYNCHRONOUS"):
            await sessions.connect()
        await pair.primary.set("synchronous_standby_names", "*")
        said = await doctor(url, require_synchronous="true").says()
        assert {"asynchronous_standby", "not_synchronous"} & said.keys() == set()
        link = await sessions.connect()
        await link.execute("CREATE TABLE public.kept (n int)")
        await pair.cut_replication()
        with pytest.raises(TimeoutError):  # it is not answered, so nobody relies on it
            await link.execute("INSERT INTO public.kept VALUES (1)", timeout=1)
        link.terminate()
