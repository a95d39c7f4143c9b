"""The connection is cut while a commit is under way: the retry finds out, and one is left."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from mailproxy import AsyncMailProxyClient, Message
from mailproxy.message import to_request
from mailproxy.v1 import message_pb2_grpc

from tests.support.cutter import Cut, Cutter
from tests.support.eventually import eventually
from tests.support.replicas import TOKEN, client_of, replica
from tests.support.serving import Run
from tests.support.sinkhole import Sinkhole
from tests.support.telling import tell

CUTS = 50
INTAKE = "INSERT INTO mailproxy.requests"


@asynccontextmanager
async def behind_a_cutter(
    folder: Path, database_url: str
) -> AsyncIterator[tuple[AsyncMailProxyClient, Cutter, Sinkhole, Run]]:
    folder.mkdir()
    async with (
        Sinkhole() as sinkhole,
        Cutter(database_url, folder, INTAKE) as cutter,
        replica(folder, cutter.url) as run,
        client_of(run) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        yield client, cutter, sinkhole, run


def letter(number: int) -> Message:
    order, to = f"order-{number}", f"u{number}@b.test"
    return Message(request_id=order, from_address="a@a.test", to=to, text="Hi.\n")


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_fifty_cuts_around_the_commit_leave_one_message_for_each_request_id(
    data_dir: Path, database_url: str
) -> None:
    async with behind_a_cutter(data_dir, database_url) as (client, cutter, sinkhole, _):
        cutter.plan([Cut.ANSWER, Cut.NO, Cut.COMMAND] * (CUTS // 2))
        ids: dict[int, str] = {}
        replayed = 0
        numbers = iter(range(10_000))

        async def submit_on() -> None:
            nonlocal replayed
            while cutter.done < CUTS:
                number = next(numbers)
                sent = await client.submit(**letter(number))
                ids[number] = sent.message_id
                replayed += sent.replayed

        await asyncio.gather(*(submit_on() for _ in range(16)))
        for number, message_id in ids.items():
            again = await client.submit(**letter(number))
            assert (again.message_id, again.replayed) == (message_id, True)
        await eventually(lambda: sinkhole.messages >= len(ids), "all are sent")
        tell(f"{len(ids)} messages, {cutter.done} cuts, {replayed} replayed")
        assert cutter.done >= CUTS
        assert replayed >= CUTS // 5, "a swallowed answer was a commit"
        assert dict.fromkeys(sinkhole.copies, 1) == sinkhole.copies
        to = Counter(recipient for _, recipient in sinkhole.copies)
        assert to == {f"u{number}@b.test": 1 for number in ids}


async def test_control_without_a_request_id_a_retry_leaves_two(
    data_dir: Path, database_url: str
) -> None:
    async with behind_a_cutter(data_dir, database_url) as (client, cutter, sinkhole, run):
        await client.submit(**letter(0))
        request = to_request(letter(1))
        request.request_id = ""
        cutter.plan([Cut.ANSWER])
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        async with grpc.aio.insecure_channel(run.grpc) as channel:
            stub = message_pb2_grpc.MessageServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as lost:
                await stub.SubmitMessage(request, metadata=metadata, timeout=30)
            assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
            await stub.SubmitMessage(request, metadata=metadata, timeout=30)
        await eventually(lambda: sinkhole.messages >= 3, "both are sent")
