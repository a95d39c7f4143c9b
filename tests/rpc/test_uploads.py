"""UploadAttachment: what is taken, what is refused, and what messages may name of it."""

import asyncio
import hashlib
from typing import Any

import grpc
import grpc.aio
import pytest
from mailproxy.v1 import message_pb2

from tests.rpc.test_attachments_sources import files_of, last_report, upload
from tests.support.edge import Refusal, refusal_of
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on

Part = message_pb2.UploadAttachmentRequest
Start = message_pb2.UploadStart
FILE = bytes(range(256)) * 8000


def sha256(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


async def refused(front: Front, *parts: Part) -> Refusal:
    async def given() -> Any:
        for part in parts:
            yield part

    caller = front.first
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await caller.messages.UploadAttachment(given(), metadata=caller.auth, timeout=20)
    return refusal_of(raised.value)


async def test_an_upload_gives_its_address(front: Front) -> None:
    first = await upload(front.first, FILE)
    md5 = hashlib.md5(FILE, usedforsecurity=False).hexdigest()
    assert (first.blob, first.md5) == (f"sha256:{sha256(FILE)}", md5)
    assert (first.octets, first.known) == (len(FILE), False)
    again = await upload(front.first, FILE, sha256=sha256(FILE).upper(), octets=len(FILE))
    assert (again.blob, again.known) == (first.blob, True)
    empty = await upload(front.first, b"")
    assert empty.octets == 0


async def test_a_known_digest_is_answered_before_anything_is_sent(front: Front) -> None:
    await upload(front.first, FILE)
    never = asyncio.Event()

    async def only_the_start() -> Any:
        yield Part(start=Start(sha256=sha256(FILE)))
        await never.wait()

    caller = front.first
    call = caller.messages.UploadAttachment(only_the_start(), metadata=caller.auth, timeout=20)
    assert (await call).known
    never.set()


@pytest.mark.parametrize(
    ("parts", "field", "words"),
    [
        ([], "start", "required in the first"),
        ([Part()], "start", "required in the first"),
        ([Part(chunk=b"a")], "start", "required in the first"),
        ([Part(start=Start()), Part(start=Start())], "start", "first request only"),
        ([Part(start=Start(sha256="abc"))], "start.sha256", "64 hexadecimal"),
        ([Part(start=Start(sha256="z" * 64))], "start.sha256", "64 hexadecimal"),
        ([Part(start=Start(octets=-1))], "start.octets", "negative"),
        ([Part(start=Start(octets=2**40))], "chunk", "1099511627776 bytes"),
        ([Part(start=Start(octets=5)), Part(chunk=b"four")], "start.octets", "4 bytes came"),
        ([Part(start=Start(sha256="a" * 64)), Part(chunk=b"a")], "start.sha256", "not the digest"),
        ([Part(start=Start()), Part(chunk=bytes(2**20 + 1))], "chunk", "at most 1048576"),
    ],
)
async def test_what_is_no_upload_is_refused(
    front: Front, parts: list[Part], field: str, words: str
) -> None:
    refusal = await refused(front, *parts)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.fields == (field,)
    assert words in refusal.message
    assert (await front.rows())["blobs"] == 0


async def test_what_is_too_large_is_refused_when_it_has_come_so_far(database_url: str) -> None:
    async with front_on(database_url, max_attachment_bytes=2**20) as front:
        parts = [Part(start=Start()), *[Part(chunk=bytes(2**18))] * 5]
        refusal = await refused(front, *parts)
        assert "MAILPROXY_MAX_ATTACHMENT_BYTES" in refusal.message
        assert (await front.rows())["blobs"] == 0


async def test_who_is_nobody_uploads_nothing(front: Front) -> None:
    caller = front.first

    async def given() -> Any:
        yield Part(start=Start())

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await caller.messages.UploadAttachment(given(), timeout=20)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_one_that_is_cancelled_leaves_nothing(front: Front) -> None:
    taken, never = asyncio.Event(), asyncio.Event()

    async def stalling() -> Any:
        yield Part(start=Start())
        yield Part(chunk=FILE[: 2**19])
        taken.set()
        await never.wait()

    caller = front.first
    call = caller.messages.UploadAttachment(stalling(), metadata=caller.auth, timeout=20)
    await taken.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    never.set()
    assert (await upload(front.first, b"next")).octets == 4
    assert (await front.rows())["blobs"] == 1


async def test_only_what_is_kept_for_the_tenant_may_be_named(front: Front) -> None:
    theirs = await upload(front.other, FILE)
    file = {"filename": "a", "blob": theirs.blob}
    wanted = message_pb2.SubmitMessageRequest(email=composed(attachments=[file]))
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, wanted)
    assert "is not kept" in refusal.message
    assert refusal.fields == ("email.composed.attachments",)
    results = await front.first.submit_all(
        [wanted, message_pb2.SubmitMessageRequest(email=composed())]
    )
    assert [result.WhichOneof("result") for result in results] == ["error", "response"]
    await upload(front.first, FILE)
    assert (await front.first.submit(composed(attachments=[file]))).message_id


async def test_more_than_a_message_may_hold_is_refused(database_url: str) -> None:
    async with front_on(database_url, max_attachments_bytes=3 * 10**6) as front:
        await front.first.make_account()
        blob = (await upload(front.first, FILE)).blob
        files = [{"filename": name, "blob": blob} for name in "ab"]
        wanted = message_pb2.SubmitMessageRequest(email=composed(attachments=files))
        refusal = await front.first.refusal(front.first.messages.SubmitMessage, wanted)
        assert "4096000 bytes together; at most 3000000" in refusal.message


async def test_a_repeat_is_answered_though_the_file_is_gone(front: Front) -> None:
    blob = (await upload(front.first, FILE)).blob
    email = composed(attachments=[{"filename": "a", "blob": blob}])
    first = await front.first.submit(email, request_id="once")
    await front.link.execute("DELETE FROM mailproxy.blobs")
    again = await front.first.submit(email, request_id="once")
    assert (again.message_id, again.replayed) == (first.message_id, True)


async def test_one_upload_goes_with_many_messages(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        blob = (await upload(front.first, FILE)).blob
        async with dispatching(front):
            for number in range(5):
                file = {"filename": f"{number}.bin", "blob": blob}
                await front.first.submit(composed(attachments=[file]))
            await relay.until(lambda: len(relay.messages) == 5, "all came")
    for message in relay.messages:
        assert list(files_of(message.octets).values()) == [FILE]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE mailproxy.blob_chunks SET data = '\\x00'",
        "DELETE FROM mailproxy.blob_chunks WHERE chunk_no = 1",
        "DELETE FROM mailproxy.blobs",
    ],
)
async def test_an_upload_that_is_damaged_is_never_sent(database_url: str, damage: str) -> None:
    """No dot follows what is not whole; the next attempt finds that the file is gone."""
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port, retry={"first_delay": {"seconds": 1}})
        blob = (await upload(front.first, FILE)).blob
        sent = await front.first.submit(composed(attachments=[{"filename": "a", "blob": blob}]))
        await front.link.execute(damage)
        async with dispatching(front):
            report = await last_report(front, sent.message_id)
        assert "no such file is kept" in str(report)
        assert report.final
        assert relay.messages == []
