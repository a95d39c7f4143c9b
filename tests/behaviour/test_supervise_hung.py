"""A process that shows no life is killed and started again; one that lives is left alone."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest
from mailproxy import AsyncMailProxyClient

from tests.support.eventually import eventually
from tests.support.replicas import client_of, replica, stopped_process
from tests.support.serving import Run, left
from tests.support.sinkhole import Sinkhole
from tests.support.waiting import until

HUNG = 5
SETTINGS = {"hung_seconds": HUNG, "lease_seconds": 2}
KILLED = "a child hangs and is killed"
CONNECTIONS = 8


def idle(data_dir: Path, hung_seconds: float, busy: str = "0 0") -> Run:
    """Give a run whose children do nothing, and let their loops turn or not."""
    settings = {"MAILPROXY_HUNG_SECONDS": str(hung_seconds), "MAILPROXY_TEST_BUSY": busy}
    return Run(data_dir, environment=settings)


def child(run: Run, role: str) -> int:
    pid = run.pid_of(role)
    assert pid, role
    return pid


@asynccontextmanager
async def mailing(folder: Path, database_url: str) -> AsyncIterator[tuple[Run, Sinkhole]]:
    """Give a real server that is watched, and the relay of its account "demo"."""
    folder.mkdir()
    async with (
        Sinkhole() as sinkhole,
        replica(folder, database_url, settings=SETTINGS) as run,
        client_of(run) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        await submit(client)
        await eventually(lambda: sinkhole.messages == 1, "mail flows")
        yield run, sinkhole


async def submit(client: AsyncMailProxyClient) -> None:
    await client.submit(from_address="a@a.test", to="b@b.test", text="Alive.\n")


async def test_a_front_that_hangs_is_replaced_and_answers_again(
    data_dir: Path, database_url: str
) -> None:
    async with mailing(data_dir, database_url) as (run, sinkhole), AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(client_of(run, timeout=60)) for _ in range(CONNECTIONS)
        ]
        await asyncio.gather(*map(submit, clients))
        hung, bystander = child(run, " front "), child(run, " dispatcher ")
        with stopped_process(hung):
            await asyncio.gather(*map(submit, clients))
        assert child(run, " front ") != hung
        assert child(run, " dispatcher ") == bystander
        await eventually(lambda: sinkhole.messages == 1 + 2 * CONNECTIONS, "all of it is sent")
        assert run.err.count(KILLED) == 1


async def test_a_dispatcher_that_hangs_is_replaced_and_mail_goes_on(
    data_dir: Path, database_url: str
) -> None:
    async with mailing(data_dir, database_url) as (run, sinkhole), client_of(run) as client:
        hung, bystander = child(run, " dispatcher "), child(run, " front ")
        with stopped_process(hung):
            await submit(client)
            await eventually(lambda: sinkhole.messages == 2, "another one sends it")
        assert child(run, " dispatcher ") != hung
        assert child(run, " front ") == bystander
        assert run.err.count(KILLED) == 1


async def test_control_without_the_watch_a_front_that_hangs_stays_and_its_liveness_is_silent(
    data_dir: Path, database_url: str
) -> None:
    data_dir.mkdir()
    async with (
        replica(data_dir, database_url, settings=SETTINGS) as watched,
        replica(data_dir, database_url, settings=SETTINGS | {"hung_seconds": 0}) as unwatched,
    ):
        assert await alive(watched)
        assert await alive(unwatched)
        hung, left_alone = child(watched, " front "), child(unwatched, " front ")
        with stopped_process(hung), stopped_process(left_alone):
            assert not await alive(watched)
            await eventually(lambda: KILLED in watched.err, "the watched one is killed")
            while not await alive(watched):
                assert watched.process.poll() is None
            assert psutil.Process(left_alone).status() == psutil.STATUS_STOPPED
            assert not await alive(unwatched)
        assert KILLED not in unwatched.err


async def alive(run: Run) -> bool:
    """Look at the liveness as Kubernetes does, which waits for an answer for some time only."""
    address = run.out.split("http=")[1].split()[0]
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(f"http://{address}/healthz") as response,
        ):
            return response.status == 200
    except (TimeoutError, aiohttp.ClientConnectionError):
        return False


@contextmanager
def paused(supervisor: int, children: list[int]) -> Iterator[None]:
    """Stop children, then the supervisor too, and then let them all go on, the supervisor first."""
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    try:
        if children:
            passes(HUNG - 1)  # so that the supervisor has noticed by its own time, if by little
        with stopped_process(supervisor):
            passes(3 * HUNG)
            yield
    finally:
        for pid in children:
            os.kill(pid, signal.SIGCONT)


def passes(seconds: float) -> None:
    """Let time pass: that nothing happens meanwhile is what is tested."""
    over = time.monotonic() + seconds
    until(lambda: time.monotonic() > over, "time passes")


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("whole", [False, True], ids=["supervisor", "everything"])
def test_after_a_pause_of_the_supervisor_nobody_is_killed(data_dir: Path, whole: bool) -> None:
    """Of the supervisor alone, as by Ctrl-Z, or of everything, as when a machine sleeps."""
    run = idle(data_dir, 2 * HUNG).ready()
    front, dispatcher = child(run, " front "), child(run, " dispatcher ")
    with paused(run.pid, [front, dispatcher] if whole else []):
        pass
    with stopped_process(dispatcher):  # the supervisor still sees one that does hang
        until(lambda: KILLED in run.err, "the watch goes on")
    assert child(run, " front ") == front
    assert run.err.count(KILLED) == 1
    assert run.stop() == 0
    assert not left(data_dir)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_busy_loop_and_a_slow_start_are_no_hang(data_dir: Path) -> None:
    """The start takes longer than a child may be silent later, the pause after it half as long."""
    run = idle(data_dir, 2 * HUNG, busy=f"{3 * HUNG} {HUNG}").ready()
    assert KILLED not in run.err
    front, dispatcher = child(run, " front "), child(run, " dispatcher ")
    with stopped_process(dispatcher):
        until(lambda: KILLED in run.err, "it hangs for longer")
    assert child(run, " front ") == front
    assert run.err.count(KILLED) == 1


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "busy", ["0 900", pytest.param("900 0", marks=pytest.mark.long)], ids=["serving", "starting"]
)
def test_a_loop_that_does_not_turn_any_more_is_a_hang(data_dir: Path, busy: str) -> None:
    run = idle(data_dir, HUNG, busy)
    until(lambda: run.err.count(KILLED) >= 2, "both are killed", seconds=200)
    until(lambda: run.err.count("a child ended and is started again") >= 2, "and start again")


def test_a_drain_is_bounded_also_when_a_child_hangs(data_dir: Path) -> None:
    run = idle(data_dir, HUNG).ready()
    with stopped_process(child(run, " front ")):
        assert run.stop() == 1
    assert not left(data_dir)
    assert "did not drain in time" in run.err
