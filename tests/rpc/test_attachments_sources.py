"""Every source of attachments, through gRPC and a real web server to a relay."""

import asyncio
import base64
import hashlib
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from aiohttp import web
from mailproxy.v1 import delivery_pb2, message_pb2

from tests.support.calling import Caller, request
from tests.support.emails import composed
from tests.support.origin import Origin, refusing
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 999
LOCAL = {"egress_allow": ("127.0.0.1/32",)}


async def upload(caller: Caller, file: bytes, **start: Any) -> Any:
    """Upload in pieces of 100,000."""

    async def parts() -> Any:
        yield message_pb2.UploadAttachmentRequest(start=message_pb2.UploadStart(**start))
        for begin in range(0, len(file), 100_000):
            yield message_pb2.UploadAttachmentRequest(chunk=file[begin : begin + 100_000])

    return await caller.messages.UploadAttachment(parts(), metadata=caller.auth, timeout=20)


def files_of(octets: bytes) -> dict[str, bytes]:
    """Give the attachments of a message by name, as Python's parser reads them."""
    message: Any = message_from_bytes(octets, policy=default)
    return {
        str(part.get_filename()): part.get_payload(decode=True)
        for part in message.iter_attachments()
    }


async def last_report(front: Front, message_id: str) -> Any:
    responses = await front.first.watch(message_id=message_id)
    return [report for response in responses for report in response.reports][-1]


async def test_every_source_in_one_message(database_url: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "Übersicht.csv").write_bytes(b"a;b\r\n1;2\r\n")
    async with (
        Origin({"/report": PDF}) as origin,
        ScriptedRelay() as relay,
        front_on(database_url) as front,
    ):
        await front.first.make_account(relay.port)
        uploaded = await upload(front.first, b"\0uploaded" * 100_000)
        attachments = [
            {"filename": "inline.bin", "content": b"\r\n.\r\n\0"},
            {"filename": "base64.txt", "base64": base64.b64encode(b"in base64").decode()},
            {"filename": "Jahresbericht – 2026.pdf", "http_url": origin.url("/report")},
            {"filename": "list.csv", "filesystem": str(root / "deep" / "Übersicht.csv")},
            {"filename": "big.bin", "blob": uploaded.blob},
            {"filename": "empty.txt", "content": b""},
        ]
        async with dispatching(front, attachment_roots=(root,), **LOCAL):
            sent = await front.first.submit(composed(attachments=attachments))
            report = await last_report(front, sent.message_id)
        assert report.event == delivery_pb2.REPORT_EVENT_SENT
        assert report.attempt == 1
    (message,) = relay.messages
    assert files_of(message.octets) == {
        "inline.bin": b"\r\n.\r\n\0",
        "base64.txt": b"in base64",
        "Jahresbericht – 2026.pdf": PDF,
        "list.csv": b"a;b\r\n1;2\r\n",
        "big.bin": b"\0uploaded" * 100_000,
        "empty.txt": b"",
    }


async def test_a_source_that_is_away_is_asked_again(database_url: str) -> None:
    page = refusing(503, 503, then=PDF)
    async with (
        Origin({"/r.pdf": page}) as origin,
        ScriptedRelay() as relay,
        front_on(database_url) as front,
    ):
        retry = {"first_delay": {"seconds": 1}, "factor": 1.0}
        await front.first.make_account(relay.port, retry=retry)
        file = {"filename": "r.pdf", "http_url": origin.url("/r.pdf")}
        async with dispatching(front, **LOCAL):
            sent = await front.first.submit(composed(attachments=[file]))
            responses = await front.first.watch(message_id=sent.message_id)
    reports = [report for response in responses for report in response.reports]
    away = delivery_pb2.FAILURE_REASON_ATTACHMENT_UNAVAILABLE
    assert [report.reason for report in reports] == [away, away, 0]
    assert [report.attempt for report in reports] == [1, 2, 3]
    assert "r.pdf: the server answered 503" in str(reports[0])
    assert files_of(relay.messages[0].octets) == {"r.pdf": PDF}


async def test_one_that_cannot_be_had_fails_its_message_and_no_other(database_url: str) -> None:
    async with (
        Origin({"/large": bytes(2000)}) as origin,
        ScriptedRelay() as relay,
        front_on(database_url) as front,
    ):
        await front.first.make_account(relay.port)
        files = {
            "gone": {"http_url": origin.url("/gone")},
            "large": {"http_url": origin.url("/large")},
            "other": {"http_url": origin.url("/large"), "sha256": "ab" * 32},
            "passwd": {"filesystem": "/etc/passwd"},
            "unknown": {"sha256": "cd" * 32},
            "private": {"http_url": "http://10.0.0.1/"},
        }
        async with dispatching(front, max_attachment_bytes=1024, **LOCAL):
            whys = {}
            for name, file in files.items():
                email = composed(attachments=[{"filename": name, **file}])
                sent = await front.first.submit(email)
                report = await last_report(front, sent.message_id)
                assert report.event == delivery_pb2.REPORT_EVENT_FAILED, name
                assert report.reason == delivery_pb2.FAILURE_REASON_ATTACHMENT_UNAVAILABLE
                whys[name] = str(report)
            plain = await front.first.submit(composed())
            assert (await last_report(front, plain.message_id)).final
        assert len(relay.messages) == 1
    assert "the server answered 404" in whys["gone"]
    assert "more than 1024 bytes" in whys["large"]
    assert "more than 1024 bytes" in whys["other"]
    assert "this server reads no files" in whys["passwd"]
    assert "no such file is kept" in whys["unknown"]
    assert "not a public address" in whys["private"]


async def test_what_a_digest_names_is_fetched_once(database_url: str) -> None:
    digest = hashlib.md5(PDF, usedforsecurity=False).hexdigest()
    async with (
        Origin({"/r.pdf": PDF}) as origin,
        ScriptedRelay() as relay,
        front_on(database_url) as front,
    ):
        await front.first.make_account(relay.port)
        name = f"report_{{MD5:{digest}}}.pdf"
        async with dispatching(front, **LOCAL):
            for _ in range(20):
                file = {"filename": name, "http_url": origin.url("/r.pdf")}
                await front.first.submit(composed(attachments=[file]))
            await relay.until(lambda: len(relay.messages) == 20, "all came")
        assert origin.asked["/r.pdf"] == 1
    assert all(files_of(m.octets) == {"report.pdf": PDF} for m in relay.messages)


async def test_what_waits_for_files_is_passed_by_what_is_behind_it(database_url: str) -> None:
    """Queued before anybody looks, so that no notification helps, nor a poll."""
    never = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response(body=b"late")

    async with (
        Origin({"/slow": slow}) as origin,
        ScriptedRelay() as relay,
        front_on(database_url) as front,
    ):
        await front.first.make_account(relay.port, max_connections=2)
        file = {"filename": "slow", "http_url": origin.url("/slow")}
        requests = [request(composed(attachments=[file])) for _ in range(500)]
        waiting = await front.first.submit_all(requests)
        last = await front.first.submit(composed())
        async with dispatching(front, poll_seconds=60, sweep_seconds=60, **LOCAL):
            assert (await last_report(front, last.message_id)).final
            assert len(relay.messages) == 1
            wanted = message_pb2.ExplainMessageRequest(message_id=waiting[0].response.message_id)
            told = await front.first.call(front.first.messages.ExplainMessage, wanted)
            assert "its attachments are being fetched" in str(told)
            never.set()
            await relay.until(lambda: len(relay.messages) == 501, "all came", seconds=30)
