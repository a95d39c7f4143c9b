"""A server under attack: mail goes in, is swallowed and reported, while parts of it are killed.

    async with Storm(data_dir, seed) as storm:
        await storm.let_in(100)
        await storm.strike("dispatcher")
        ...
        await storm.calm()
        assert storm.findings() == []

Everything is seen from outside: the client's acknowledgements and reports (`ledger`), and the
final dots at the relay (`sinkhole`).
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from grpc import StatusCode
from mailproxy import AsyncMailProxyClient, MailProxyError
from mailproxy.errors import CursorError

from tests.support.eventually import eventually
from tests.support.ledger import Ledger
from tests.support.replicas import TOKEN, environment_of
from tests.support.serving import REAL, Run, left
from tests.support.sinkhole import Sinkhole
from tests.support.storm_ground import Ground
from tests.support.telling import tell

SENDERS = 32
PATIENCE = 120.0
"""Seconds that a submission may take through all the restarts."""
IN_TRAFFIC = 0.5
"""The share of strikes that wait until mail flows again."""
DRAINED_WITHIN = 300.0
"""Seconds in which the queue drains by itself when all is calm: looks at it are 30 s apart."""
AGAIN = {
    StatusCode.UNAVAILABLE,
    StatusCode.CANCELLED,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.RESOURCE_EXHAUSTED,
}
"""What a program with an outbox meets with a submission of the same request_id."""
PARTS = {
    "front": ("front",),
    "dispatcher": ("dispatcher",),
    "children": ("front", "dispatcher"),
    "postgres": ("bin/postgres",),
}
"""What is killed by which word of a command line; "supervisor" and "everything" besides."""


class Storm:
    """One server on `data_dir`, one relay, one client; `seed` decides what chance decides.

    Its database is the embedded one, or that of `ground`. `settings` by their names.
    """

    def __init__(
        self,
        data_dir: Path,
        seed: int,
        *,
        dispatchers: int = 1,
        lease: int = 3,
        ground: Ground | None = None,
        settings: Mapping[str, float] | None = None,
    ):
        self.ground = ground
        self.random = random.Random(seed)
        self.sinkhole = Sinkhole()
        self.ledger = Ledger()
        self.kills: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.allowed = 0
        self.submitted = 0
        self._data_dir = data_dir
        self._environment = {
            "MAILPROXY_LEASE_SECONDS": str(lease),
            "MAILPROXY_DISPATCHERS": str(dispatchers),
            "MAILPROXY_LOG_LEVEL": "warning",
            **{f"MAILPROXY_{name.upper()}": str(value) for name, value in (settings or {}).items()},
            **(environment_of(ground.url) if ground else {}),
        }
        self._hurried = True
        self._permits = asyncio.Semaphore(0)
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self.logs: list[Run] = []

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.sinkhole)
        self.run = Run(self._data_dir, environment=self._environment, program=REAL)
        self.logs.append(self.run)
        await asyncio.to_thread(self.run.ready)
        self._environment["MAILPROXY_GRPC_LISTEN"] = self.run.grpc
        token = TOKEN if self.ground else (self._data_dir / "token").read_text().strip()
        self.client = await self._stack.enter_async_context(
            AsyncMailProxyClient(self.run.grpc, token, timeout=PATIENCE)
        )
        await self.client.create_account(
            "demo", host="127.0.0.1", port=self.sinkhole.port, tls="none"
        )
        for work in (self._follow, self._hurry, *[self._submit_all] * SENDERS):
            self._tasks.append(await self._stack.enter_async_context(_running(work())))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error:
            tell(self.tally(), *self.ledger.unacknowledged[:5])
            tell(*(f"--- {run.pid}\n{run.err[-3000:]}" for run in self.logs[-2:]))
            tell(*(task for task in self._tasks if task.done()))
        await self._stack.aclose()

    @property
    def traffic(self) -> int:
        """Acknowledgements and final dots so far."""
        return len(self.ledger.acknowledged) + self.sinkhole.dots

    @property
    def duplicates(self) -> int:
        """Copies beyond the first so far."""
        return self.ledger.duplicates(self.sinkhole)

    def let_in(self, messages: int) -> None:
        """Let so many more messages be submitted."""
        self.allowed += messages
        for _ in range(messages):
            self._permits.release()

    async def moment(self) -> None:
        """Wait for a random moment: mostly under traffic, else while it may still be starting."""
        if self.random.random() < IN_TRAFFIC:
            goal = self.traffic + self.random.randrange(1, 150)
            await eventually(lambda: self._flows(goal), "traffic", seconds=PATIENCE)
        else:
            await asyncio.sleep(self.random.uniform(0, 1.5))

    def _flows(self, goal: int) -> bool:
        self.tend()
        return self.traffic >= goal or (self.ledger.settled and self._answered)

    @property
    def _answered(self) -> bool:
        answers = len(self.ledger.acknowledged) + len(self.ledger.unacknowledged)
        return self.allowed == self.submitted == answers

    async def strike(self, what: str) -> None:
        """kill -9 a part, or everything, as soon as it runs; start again what nobody restarts."""
        self.kills[what] += 1
        if what == "everything":
            await asyncio.to_thread(self.run.kill)
            self.start()
        elif what == "supervisor":
            self.run.process.kill()
            await asyncio.to_thread(self.run.wait)
            self.start()
        else:
            for word in PARTS[what]:
                (await self.running(word)).kill()

    async def running(self, word: str) -> psutil.Process:
        """Give a process of the run by a word of its command line, as soon as there is one."""
        process = await eventually(lambda: self.part(word), f"{word} runs")
        assert process
        return process

    def start(self) -> None:
        """Start the server again, on the same port."""
        self.run = Run(self._data_dir, environment=self._environment, program=REAL)
        self.logs.append(self.run)

    def part(self, word: str) -> psutil.Process | None:
        """Give one of the processes that run with this word in their command line."""
        self.tend()
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.run.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    words = process.cmdline()
                    if word in words or (words and words[0].endswith(word)):
                        found.append(process)
        return self.random.choice(found) if found else None

    def tend(self) -> None:
        """As a service manager does: start again a server whose start PostgreSQL's end stopped."""
        if self.run.process.poll() is not None:
            refused = "cannot be used" in self.run.err and "is ready" not in self.run.out
            assert refused, f"the server ended: {self.run.err[-2000:]}"
            self.kills["start"] += 1
            self.start()

    async def calm(self) -> None:
        """Wait until all is submitted, sent and reported."""
        await eventually(lambda: self._answered, "all are answered", seconds=PATIENCE + 5)
        await eventually(lambda: self.ledger.settled, "all are final", seconds=PATIENCE)

    async def run_dry(self, hurried: float) -> None:
        """Wait until the queue has drained to nothing; after so many seconds by itself."""
        await eventually(lambda: self._answered, "all are answered", seconds=PATIENCE + 5)
        await asyncio.sleep(hurried)  # retries that wait for minutes by right are made due
        self._hurried = False
        over = time.monotonic() + DRAINED_WITHIN
        while (waiting := await self._waiting()) or not self.ledger.settled:
            told = f"{waiting} wait in the queue; not final: {self.ledger.unsettled()[:5]}"
            assert time.monotonic() < over, f"stuck for {DRAINED_WITHIN} s: {told}"
            if not waiting and self.ledger.lossy:
                await self._look_for_the_forgotten()
            await asyncio.sleep(1)

    async def _waiting(self) -> int:
        """Count what the server says that its queue holds."""
        self.tend()
        found = (await self.client.queue_status()).accounts
        return sum(one.due + one.retrying + one.scheduled + one.sending + one.held for one in found)

    async def _look_for_the_forgotten(self) -> None:
        """Take out of the account what the database does not know any more."""
        for message_id in self.ledger.unsettled():
            try:
                await self.client.get_message(message_id)
            except MailProxyError as error:
                if error.code is not StatusCode.NOT_FOUND:
                    raise
                self.ledger.forget(message_id)

    async def stop(self) -> list[psutil.Process]:
        """Drain the server; give the processes that it left behind."""
        await asyncio.to_thread(self.run.stop)
        return left(self._data_dir)

    def findings(self) -> list[str]:
        """Give the promises that were broken."""
        return self.ledger.findings(self.sinkhole)

    def tally(self) -> str:
        """Say in a line what there was."""
        ledger = self.ledger
        return (
            f"{len(ledger.acknowledged)} of {self.submitted} acknowledged, {ledger.offset} reports,"
            f" {self.sinkhole.dots} dots, {self.duplicates} duplicates,"
            f" {ledger.doubts.total()} doubts, struck: {dict(self.kills)},"
            f" submissions to repeat: {dict(self.refusals)}"
        )

    async def _submit_all(self) -> None:
        while True:
            await self._permits.acquire()
            self.submitted += 1
            number = self.submitted
            to = [f"u{number}@b.test"]
            if number % 10 == 0:
                to += [f"refused-{number}@b.test", f"v{number}@b.test"]
            await self._submit(number, to)

    async def _submit(self, number: int, to: list[str]) -> None:
        """Submit one message, like a program with an outbox: again while nobody answered."""
        while True:
            try:
                sent = await self.client.submit(
                    request_id=f"order-{number}",
                    from_address="shop@a.test",
                    to=to,
                    subject=f"Order {number}",
                    text="Thanks.\n",
                )
            except MailProxyError as error:
                self.refusals[error.code.name] += 1
                if error.code not in AGAIN:
                    self.ledger.unacknowledged.append(f"message {number}: {error}")
                    return
                await asyncio.sleep(max(0.0, error.retry_after or 0.0))
            else:
                self.ledger.acknowledge(sent.message_id, to)
                return

    async def _follow(self) -> None:
        """Follow the reports, as a program that keeps its cursor and does as an error says."""
        start = "earliest"
        while True:
            try:
                async for report in self.client.delivery_reports(start):
                    start = report.cursor
                    self.ledger.note(report)
            except CursorError as error:
                self.ledger.go_back(error)
                start = error.metadata.get("common_cursor", "earliest")
            except MailProxyError as error:
                self.ledger.wrong.append(f"the stream of reports ended: {error!r}")

    async def _hurry(self) -> None:
        """Let nothing wait for the time of its retry."""
        while self._hurried:
            with contextlib.suppress(MailProxyError):
                await self.client.run_now(include_retries=True)
            await asyncio.sleep(1)


@asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Do this beside the block, and end it with the block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
