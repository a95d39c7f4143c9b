"""The client uploads what is large before it submits, by itself, in both twins."""

import asyncio
import hashlib
from pathlib import Path

import pytest
from mailproxy import errors
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.attachment import Attachment, Upload
from mailproxy.message import Message
from mailproxy.sync import MailProxyClient

from tests.rpc.test_attachments_sources import files_of
from tests.support.fake_server import PLAIN
from tests.support.relay import ScriptedRelay
from tests.support.served import TOKEN, Front, dispatching, front_on

LARGE = bytes(range(256)) * 8192  # 2 MiB


async def test_large_files_go_ahead_and_small_ones_along(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(LARGE)
    message: Message = {
        **PLAIN,
        "attachments": [path, Attachment("b.bin", LARGE + b"b"), Attachment("small", b"small")],
    }
    files = {"large.bin": LARGE, "b.bin": LARGE + b"b", "small": b"small"}
    async with (
        ScriptedRelay() as relay,
        front_on(database_url) as front,
        dispatching(front),
        AsyncMailProxyClient(front.address, TOKEN) as client,
    ):
        await client.create_account("local", host="127.0.0.1", port=relay.port, tls="none")
        await client.submit(**message)
        with MailProxyClient(front.address, TOKEN) as threaded:
            await asyncio.to_thread(lambda: threaded.submit(**message))
        await client.submit_many([message, message])
        await relay.until(lambda: len(relay.messages) == 4, "all came")
        assert (await front.rows())["blobs"] == 2
        largest = await front.link.fetchval(
            "SELECT max(octet_length(content)) FROM mailproxy.messages"
        )
        assert largest < 1000
    for each in relay.messages:
        assert files_of(each.octets) == files


async def test_a_client_may_be_told_to_upload_nothing(front: Front) -> None:
    message: Message = {**PLAIN, "attachments": [Attachment("b.bin", LARGE)]}
    async with AsyncMailProxyClient(front.address, TOKEN, upload_above=None) as client:
        await client.submit(**message)
    assert (await front.rows())["blobs"] == 0


async def test_what_is_kept_is_not_sent_again(front: Front, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        first, again = await client.upload(path), await client.upload(LARGE)
    assert first.blob == again.blob == f"sha256:{hashlib.sha256(LARGE).hexdigest()}"
    assert (first.known, again.known) == (False, True)
    assert len(list(Upload.of(path).parts())) == 33


async def test_a_file_that_is_too_large_is_one_error_among_many(database_url: str) -> None:
    async with (
        front_on(database_url, max_attachment_bytes=2**20) as front,
        AsyncMailProxyClient(front.address, TOKEN) as client,
    ):
        await front.first.make_account()
        large: Message = {**PLAIN, "attachments": [Attachment("large", LARGE)]}
        good, bad = await client.submit_many([Message(**PLAIN), large])
        assert isinstance(bad, errors.InvalidRequestError)
        assert "MAILPROXY_MAX_ATTACHMENT_BYTES" in str(bad)
        assert not isinstance(good, errors.MailProxyError)
        # Refused while it is written: of a hundred, grpc.aio loses the refusal of one or two.
        refused = await asyncio.gather(
            *(client.submit(**large) for _ in range(100)), return_exceptions=True
        )
        assert {type(each) for each in refused} == {errors.InvalidRequestError}


def test_an_attachment_has_one_source() -> None:
    for file in (
        Attachment("a", b"a", url="https://host.test/a"),
        Attachment("a", path="a", blob="sha256:ab"),
        Attachment("a", url="https://host.test/a", server_file="/srv/a"),
    ):
        with pytest.raises(errors.InvalidRequestError, match="give one of"):
            file.to_proto()
    named = Attachment("a", url="https://host.test/a", sha256="ab").to_proto()
    assert (named.http_url, named.sha256, named.WhichOneof("source")) == (
        "https://host.test/a", "ab", "http_url",
    )  # fmt: skip
    assert Attachment("a", b"").to_proto().WhichOneof("source") == "content"
    assert Attachment("a", md5="cd").to_proto().WhichOneof("source") is None
