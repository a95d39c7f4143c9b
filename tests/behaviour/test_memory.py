"""What the server's processes take of memory: little, whatever waits and whoever has left."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from mailproxy import AsyncMailProxyClient, Message
from mailproxy.v1 import report_pb2, report_pb2_grpc

from tests.support.eventually import eventually
from tests.support.memory import pss
from tests.support.replicas import TOKEN, client_of, replica
from tests.support.serving import REAL, Run
from tests.support.sinkhole import HOLD, Sinkhole
from tests.support.telling import tell

IDLE = 250
QUEUED = 100
STREAMS = 10
"""MiB of PSS: when idle; more with a full queue; more after many cancelled streams."""
AT_ONCE = 100


async def submit(client: AsyncMailProxyClient, count: int, account: str, when: datetime) -> None:
    text = "It is on its way to you and will be with you tomorrow.\n" * 20
    for start in range(0, count, 1_000):
        letters = [
            Message(
                account=account,
                from_address="a@a.test",
                to=f"u{number}@b.test",
                text=text,
                send_time=when,
            )
            for number in range(start, start + 1_000)
        ]
        for sent in await client.submit_many(letters):
            assert not isinstance(sent, Exception), sent


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_hundred_thousand_queued_messages_move_it_little(data_dir: Path) -> None:
    run = Run(data_dir, program=REAL)
    await asyncio.to_thread(run.ready)
    token = (data_dir / "token").read_text().strip()
    async with Sinkhole() as sinkhole, AsyncMailProxyClient(run.grpc, token, timeout=120) as client:
        sinkhole.answers = lambda verb, port: HOLD
        for account in ("later", "stalled"):
            await client.create_account(
                account, host="127.0.0.1", port=sinkhole.port, tls="none", is_default=False
            )
        idle = pss(run)
        now = datetime.now(UTC)
        await submit(client, 80_000, "later", now + timedelta(days=1))
        await submit(client, 20_000, "stalled", now)
        await eventually(lambda: sinkhole.held, "the relay stalls")
        queued = pss(run)
        tell(f"idle {idle:.0f} MiB, with 100,000 queued {queued:.0f} MiB")
    assert await asyncio.to_thread(run.stop) == 0
    assert idle < IDLE
    assert queued - idle < QUEUED


async def open_and_cancel(run: Run, count: int) -> None:
    async with grpc.aio.insecure_channel(run.grpc) as channel:
        stub: report_pb2_grpc.ReportServiceAsyncStub = report_pb2_grpc.ReportServiceStub(channel)

        async def one() -> None:
            call = stub.StreamDeliveryReports(
                report_pb2.StreamDeliveryReportsRequest(),
                metadata=(("authorization", f"Bearer {TOKEN}"),),
            )
            async for response in call:
                assert response.cursor
                break
            call.cancel()

        for _ in range(count // AT_ONCE):
            await asyncio.gather(*(one() for _ in range(AT_ONCE)))


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_ten_thousand_cancelled_streams_leave_nothing_behind(
    data_dir: Path, database_url: str
) -> None:
    data_dir.mkdir()
    async with (
        Sinkhole() as sinkhole,
        replica(data_dir, database_url) as run,
        client_of(run) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        sent = await client.submit(from_address="a@a.test", to="b@b.test", text="Hi.\n")
        assert [report.final async for report in client.watch(sent.message_id)] == [True]
        await open_and_cancel(run, 2_000)
        warm = pss(run)
        await open_and_cancel(run, 10_000)
        left = pss(run)
        tell(f"warm {warm:.1f} MiB, after 10,000 streams more {left:.1f} MiB")
        assert left - warm < STREAMS
