"""An outcome that is known is kept until the database takes it, whatever it says meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import pytest
from mailproxy_server.dispatcher.lease import Backlog
from mailproxy_server.dispatcher.settler import REMEMBERED_MOST, Settler, Unsettleable
from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.mail.transcript import Exchange, Reply, Stage, Transcript
from mailproxy_server.queue import hot
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.settle import Settlement, settle

from tests.support.eventually import eventually
from tests.support.queue import Queue
from tests.support.refusing_log import refusing_log

TEXT = "ok \N{SNOWMAN} queued"
REPLY = Reply(250, "2.0.0", TEXT)


@dataclass
class Told:
    """What a settler said."""

    settled: list[Settlement] = field(default_factory=list)
    lost: int = 0
    bugs: list[Exception] = field(default_factory=list)
    blocked: list[tuple[Backlog, Exception | None]] = field(default_factory=list)

    def settle(self, batch: Sequence[Settlement], lost: int) -> None:
        self.settled += batch
        self.lost += lost

    def bug(self, message_id: UUID, error: Exception) -> None:
        self.bugs.append(error)

    def block(self, backlog: Backlog, error: Exception | None) -> None:
        self.blocked.append((backlog, error))


@asynccontextmanager
async def settling(
    queue: Queue, kind: type[Settler] = Settler
) -> AsyncIterator[tuple[Settler, Told, "asyncio.Future[None]"]]:
    told, failed = Told(), asyncio.get_running_loop().create_future()
    settler = kind(
        queue.pool, queue.worker_id, told.settle, told.bug, 0.0, told.block, failed
    )  # fmt: skip
    yield settler, told, failed
    if not failed.done():
        await settler.flush()


def sent(row: Claimed) -> Settlement:
    answer = Exchange(Stage.DOT, ".", REPLY, 3)
    return Settlement(row, Outcome.sent(REPLY), transcript=Transcript("relay.test", (answer,)))


@pytest.mark.parametrize(
    "state",
    [
        "25006",  # read-only
        "53100",  # the disk is full
        "53200",  # no memory
        "55P03",
        "58030",  # an I/O error
        "42501",  # a privilege was taken away
        "XX000",  # a fault of the server's own
    ],
)
async def test_what_the_database_refuses_for_its_own_sake_is_kept_and_written_later(
    mail_queue: Queue, state: str
) -> None:
    await mail_queue.submit_many(3)
    rows = await mail_queue.claim()
    async with settling(mail_queue) as (settler, told, _):
        async with refusing_log(mail_queue.url, state):
            settler.add([sent(row) for row in rows])
            await eventually(lambda: len(told.blocked) > 1, "it was refused, and again")
            assert (settler.blocked, settler.backlog().unwritten) == (True, 3)
            assert told.settled == []
        await settler.flush()
    assert settler.backlog().unwritten == 0
    assert told.blocked[-1][1] is None
    assert (len(told.settled), told.lost, told.bugs) == (3, 0, [])
    reports = await mail_queue.reports()
    assert [(report.reply_text, report.possible_duplicate) for report in reports] == [
        (TEXT, False)
    ] * 3


class Forgetful(Settler):
    """What is refused is tried no more."""

    async def _write(self, batch: list[Settlement]) -> None:
        try:
            async with hot.connection(self._pool) as link:
                await settle(link, self._worker_id, batch)
        except (Unavailable, asyncpg.PostgresError):
            return
        self._settled(batch, 0)


async def test_control_a_settler_that_forgets_leaves_rows_claimed_for_ever(
    mail_queue: Queue,
) -> None:
    await mail_queue.submit_many(1)
    rows = await mail_queue.claim()
    async with (
        refusing_log(mail_queue.url, "53100"),
        settling(mail_queue, Forgetful) as (settler, told, _),
    ):
        settler.add([sent(row) for row in rows])
        await settler.flush()
    held = "SELECT count(*) FROM mailproxy.deliveries WHERE worker_id = $1"
    assert await mail_queue.pool.fetchval(held, mail_queue.worker_id) == 1
    assert told.settled == []


@pytest.mark.parametrize(
    ("when", "kept"),
    [
        ("NEW.reply_text = '" + TEXT + "'", (None, True)),
        ("NEW.transcript IS NOT NULL", (None, False)),
    ],
)
async def test_an_error_of_the_data_costs_what_was_said_and_never_the_outcome(
    mail_queue: Queue, when: str, kept: tuple[str | None, bool]
) -> None:
    await mail_queue.submit_many(2)
    rows = await mail_queue.claim()
    async with (
        refusing_log(mail_queue.url, "22P05", when),
        settling(mail_queue) as (settler, told, _),
    ):
        settler.add([sent(row) for row in rows])
    assert len(told.settled) == len(told.bugs) == 2
    query = "SELECT reply_text, transcript IS NOT NULL FROM mailproxy.report_log WHERE event = 2"
    assert {tuple(row) for row in await mail_queue.pool.fetch(query)} == {kept}


async def test_one_that_is_refused_in_every_form_ends_the_process_and_not_the_others(
    mail_queue: Queue,
) -> None:
    await mail_queue.submit_many(3)
    rows = await mail_queue.claim()
    await mail_queue.pool.execute(
        "ALTER TABLE mailproxy.report_log ADD CONSTRAINT never CHECK "
        f"(message_id <> '{rows[-1].message_id}')"
    )
    async with settling(mail_queue) as (settler, told, failed):
        settler.add([sent(row) for row in rows])
        with pytest.raises(Unsettleable, match=str(rows[-1].message_id)):
            async with asyncio.timeout(20):
                await failed
    assert len(told.settled) == 2


async def test_a_missing_day_of_the_log_is_made(mail_queue: Queue) -> None:
    await mail_queue.submit_many(1)
    rows = await mail_queue.claim()
    made = await mail_queue.pool.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
        "WHERE inhparent = 'mailproxy.report_log'::regclass"
    )
    for day in made:
        await mail_queue.pool.execute(f"DROP TABLE {day['name']}")
    async with settling(mail_queue) as (settler, told, _):
        settler.add([sent(row) for row in rows])
        await eventually(lambda: told.blocked, "there is no day to write to")
        assert isinstance(told.blocked[0][1], asyncpg.CheckViolationError)

    assert len(told.settled) == 1
    assert told.bugs == []


async def test_no_dot_is_sent_beyond_what_can_be_remembered(mail_queue: Queue) -> None:
    await mail_queue.submit_many(1)
    (row,) = await mail_queue.claim()
    async with settling(mail_queue) as (settler, _, _):
        assert settler.may_dot() is None
        settler.blocked = True
        settler._waiting = [sent(row)] * REMEMBERED_MOST
        assert settler.may_dot() is not None
        settler._waiting, settler.blocked = [], False
