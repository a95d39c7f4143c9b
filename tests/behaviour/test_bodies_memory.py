"""Large requests at once, inline and uploaded, beside many streams: the server stays below 1 GiB,
which is what a pod of ours has, and turns away who finds no room with the time to come again."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc.aio
import psutil
import pytest
from mailproxy.v1 import message_pb2

from tests.support.edge import REPORTS, SUBMIT, Refusal, refusal_of
from tests.support.eventually import eventually
from tests.support.memory import MIB
from tests.support.replicas import TOKEN, client_of, replica
from tests.support.serving import REAL, Run
from tests.support.sinkhole import Sinkhole
from tests.support.telling import tell

READ_FIRST = ("-P", str(Path(__file__).parents[1] / "support/serve_read_first.py"))
UPLOAD = "/mailproxy.v1.MessageService/UploadAttachment"
AUTH = (("authorization", f"Bearer {TOKEN}"),)
BOUND = 1024
"""MiB of a pod (deploy/kubernetes/mailproxy.yaml)."""
INLINE, UPLOADED, STREAMS = 60, 120, 300
PATIENCE = 400.0
"""Seconds within which all must have got through."""
LOST, LOST_DELAY = "Internal error from Core", 0.5
"""What grpc.aio makes of the status of an upload that was refused as a part of it was being written
(see `mailproxy.calls`), and when to come again then."""
CHUNK = b"u" * (256 * 1024)


class Crowd:
    """Callers, each on a connection of its own, who come again when they are asked to."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.refusals: Counter[tuple[str, str]] = Counter()
        self.through = 0

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[grpc.aio.Channel]:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self._run.grpc, options=options) as channel:
            yield channel

    async def insist(self, call: Callable[[grpc.aio.Channel], Awaitable[Any]]) -> None:
        """Call until it is done; each refusal must say when to come again."""
        until = time.monotonic() + PATIENCE
        async with self.connected() as channel:
            while time.monotonic() < until:
                try:
                    await call(channel)
                except grpc.aio.AioRpcError as error:
                    refusal = refusal_of(error)
                    self.refusals[refusal.code.name, refusal.reason] += 1
                    delay = LOST_DELAY if refusal.message == LOST else refusal.retry_delay
                    assert delay, (refusal, self._run.err[-3000:])
                    await asyncio.sleep(delay)
                else:
                    self.through += 1
                    return
        raise AssertionError("it did not get through")


def inline(number: int) -> Callable[[grpc.aio.Channel], Awaitable[Any]]:
    """Submit a message of 20 MiB."""
    request = message_pb2.SubmitMessageRequest(request_id=f"inline-{number}")
    request.email.envelope.return_path = "a@a.test"
    request.email.envelope.recipients.append("b@b.test")
    head = b"From: a@a.test\r\nTo: b@b.test\r\nSubject: large\r\n\r\n"
    request.email.raw_mime = head + b"The quick brown fox jumps over it, again.\r\n" * 487_710
    assert 20 * MIB < request.ByteSize() < 21 * MIB
    raw = request.SerializeToString()

    async def call(channel: grpc.aio.Channel) -> Any:
        method: Any = channel.unary_unary(SUBMIT)
        return await method(raw, metadata=AUTH, timeout=PATIENCE)

    return call


def uploaded(number: int) -> Callable[[grpc.aio.Channel], Awaitable[Any]]:
    """Upload a file of 15 MiB."""

    async def parts() -> AsyncIterator[bytes]:
        start = message_pb2.UploadStart(octets=60 * len(CHUNK))
        yield message_pb2.UploadAttachmentRequest(start=start).SerializeToString()
        for part in range(60):
            octets = f"{number}-{part}".encode().ljust(16) + CHUNK[16:]
            yield message_pb2.UploadAttachmentRequest(chunk=octets).SerializeToString()

    async def call(channel: grpc.aio.Channel) -> Any:
        method: Any = channel.stream_unary(UPLOAD)
        return await method(parts(), metadata=AUTH, timeout=PATIENCE)

    return call


async def follow(channel: grpc.aio.Channel) -> Any:
    """Open a stream of reports, and give it once it has begun."""
    method: Any = channel.unary_stream(REPORTS)
    stream = method(b"", metadata=AUTH)
    assert await stream.read()
    return stream


def peaks(run: Run) -> dict[int, float]:
    """Give the most MiB that each process of a run but PostgreSQL's has had in memory."""
    found = {}
    processes = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    for process in processes:
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if not Path(process.exe()).name.startswith("postgres"):
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                found[process.pid] = next(
                    int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")
                )
    return found


@contextlib.asynccontextmanager
async def crowded(
    data_dir: Path, database_url: str, program: Sequence[str] = REAL
) -> AsyncIterator[tuple[Run, Crowd]]:
    """Run a server that has sent one message, and give it with a crowd."""
    data_dir.mkdir()
    async with (
        Sinkhole() as sinkhole,
        replica(data_dir, database_url, program=program) as run,
        client_of(run) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        await client.submit(from_address="a@a.test", to="b@b.test", text="Hi.")
        yield run, Crowd(run)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_large_requests_uploads_and_streams_at_once_stay_below_the_pods_memory(
    data_dir: Path, database_url: str
) -> None:
    calls = [
        *(inline(number) for number in range(INLINE)),
        *(uploaded(number) for number in range(UPLOADED)),
    ]
    async with (
        crowded(data_dir, database_url) as (run, crowd),
        crowd.connected() as channel,
    ):
        before = peaks(run)
        streams = await asyncio.gather(*(follow(channel) for _ in range(STREAMS)))
        await asyncio.gather(*(crowd.insist(call) for call in calls))
        after = peaks(run)
        tell(f"peaks {before} before, {after} after; refused: {dict(crowd.refusals)}")
        assert not any(stream.done() for stream in streams)
    assert after.keys() == before.keys(), "a process ended"
    assert crowd.through == INLINE + UPLOADED
    assert sum(after.values()) < BOUND


async def test_control_bodies_that_are_read_before_there_is_room_pass_the_bound(
    data_dir: Path, database_url: str
) -> None:
    async with crowded(data_dir, database_url, READ_FIRST) as (run, crowd):
        calls = [asyncio.create_task(crowd.insist(inline(number))) for number in range(INLINE)]
        try:
            await eventually(lambda: sum(peaks(run).values()) > BOUND, "past the bound", seconds=60)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        tell(f"peaks {peaks(run)}")


async def stranger(address: str, many: int) -> list[Refusal]:
    """Send requests of 20 MiB with a token that nobody has."""
    raw = b"x" * 20 * MIB
    options = [("grpc.use_local_subchannel_pool", 1)]

    async def one() -> Refusal:
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            method: Any = channel.unary_unary(SUBMIT)
            try:
                await method(raw, metadata=(("authorization", "Bearer mp_nobody"),), timeout=60)
            except grpc.aio.AioRpcError as error:
                return refusal_of(error)
        raise AssertionError("it was let in")

    return await asyncio.gather(*(one() for _ in range(many)))


STRANGER = 60
"""MiB that a stranger's large requests may add to the front."""


async def grown_by_a_stranger(
    data_dir: Path, database_url: str, program: Sequence[str] = REAL
) -> float:
    """Give the MiB that the processes grew by at their peaks; all of the calls must be refused."""
    data_dir.mkdir()
    async with replica(data_dir, database_url, program=program) as run:
        before = sum(peaks(run).values())
        refusals = await stranger(run.grpc, INLINE)
        grown = sum(peaks(run).values()) - before
        tell(f"{INLINE} × 20 MiB of a stranger: {grown:.0f} MiB more")
    assert {refusal.code for refusal in refusals} == {grpc.StatusCode.UNAUTHENTICATED}
    return grown


async def test_a_stranger_fills_nothing(data_dir: Path, database_url: str) -> None:
    assert await grown_by_a_stranger(data_dir, database_url) < STRANGER


async def test_control_a_stranger_whose_bodies_are_read_first_fills_much(
    data_dir: Path, database_url: str
) -> None:
    assert await grown_by_a_stranger(data_dir, database_url, READ_FIRST) > STRANGER
