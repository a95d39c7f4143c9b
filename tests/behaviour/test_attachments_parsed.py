"""Every source of attachments in one message, from a real web server to an SMTP server: bytes,
names and types as they were meant, for Python's parser and for one in another language."""

import asyncio
import hashlib
import json
import os
import shutil
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from mailproxy import AccountFields, Attachment
from mailproxy.accounts import EndpointFields

from tests.behaviour.test_languages_node import CACHE
from tests.support.debian import require
from tests.support.foreign import call
from tests.support.origin import Origin
from tests.support.programs import running
from tests.support.relay import ScriptedRelay
from tests.support.replicas import client_of, replica

pytestmark = pytest.mark.needs_debian("nodejs", "npm")
HERE = Path(__file__).with_name("mailparser")
BYTES = bytes(range(256)) * 500
HTML = '<p>Grüße <img src="cid:logo"></p>'
FILES = {
    "inline.bin": ("application/octet-stream", BYTES),
    "Übersicht – Müller & Söhne.pdf": ("application/pdf", b"%PDF fetched" * 999),
    "endpoint.csv": ("text/csv", b"a;b\r\n1;2\r\n"),
    "server file.txt": ("text/plain", b"from the server's disk\n" * 10),
    "uploaded.zip": ("application/zip", BYTES * 20),
    "a very long name " + "日本" * 30 + ".txt": ("text/plain", b".\r\n..\r\n"),
    'quote"d; and, odd.txt': ("text/plain", b""),
    "logo.png": ("image/png", b"\x89PNG\r\n\x1a\n"),
}


def attachments(origin: Origin, root: Path) -> list[Attachment]:
    names = iter(FILES)
    inline, url, endpoint, file, uploaded, long, odd, logo = names
    (root / "ä.txt").write_bytes(FILES[file][1])
    origin.pages = {"/pdf": FILES[url][1], "/csv": FILES[endpoint][1]}
    return [
        Attachment(inline, FILES[inline][1]),
        Attachment(url, url=origin.url("/pdf")),
        Attachment(endpoint, endpoint="csv", parameters={"rows": 2}),
        Attachment(file, server_file=str(root / "ä.txt")),
        Attachment(uploaded, FILES[uploaded][1]),
        Attachment(long, FILES[long][1]),
        Attachment(odd, FILES[odd][1]),
        Attachment(logo, FILES[logo][1], content_id="logo", inline=True),
    ]


def by_python(octets: bytes) -> dict[str, Any]:
    """Give name, type and digest of each file."""
    message = message_from_bytes(octets, policy=policy.default)
    found = {}
    for part in message.walk():
        if isinstance(part, EmailMessage) and part.get_filename():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found[part["Content-Disposition"].params["filename"]] = (
                part.get_content_type(),
                content,
            )
    return found


async def by_node(octets: bytes, folder: Path) -> Any:
    for name in ("package.json", "package-lock.json", "parse.mjs"):
        shutil.copy(HERE / name, folder)
    how = ("--ignore-scripts", "--prefer-offline", "--cache", CACHE)
    installed = await call(folder, require("npm"), "ci", *how, **os.environ)
    assert installed.code == 0, installed.err
    async with running(
        require("nodejs"), "parse.mjs", cwd=folder,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    ) as process:  # fmt: skip
        out, _ = await process.communicate(octets)
    assert process.returncode == 0
    return json.loads(out)


def assert_seen(seen: Any) -> None:
    """Fail unless mailparser found what was meant."""
    files_seen = seen["attachments"]
    assert {file["name"]: (file["type"], file["sha256"]) for file in files_seen} == {
        name: (kind, hashlib.sha256(content).hexdigest()) for name, (kind, content) in FILES.items()
    }
    assert [(f["cid"], f["related"]) for f in files_seen if f["inline"]] == [("logo", True)]
    assert seen["subject"] == "Ihre Übersicht – 日本語"
    assert seen["from"] == [["Müller, Jörg", "j@a.test"]]
    assert seen["to"] == [["Ann, née Ü", "ann@b.test"], ["", "bob@b.test"]]
    assert seen["html"].strip() == HTML
    assert seen["text"].strip() == "Grüße"
    assert seen["headers"] == [
        "date", "message-id", "x-mailproxy-id", "from", "to", "subject", "mime-version",
        "content-type",
    ]  # fmt: skip


@pytest.mark.timeout(180)
async def test_every_source_arrives_for_two_parsers(
    data_dir: Path, database_url: str, tmp_path: Path
) -> None:
    data_dir.mkdir()
    root, folder = data_dir / "root", data_dir / "node"
    root.mkdir()
    folder.mkdir()
    settings: dict[str, float | str] = {
        "egress_allow": "127.0.0.1/32",
        "attachment_roots": str(root),
    }
    async with (
        Origin() as origin,
        ScriptedRelay() as relay,
        replica(data_dir, database_url, settings=settings) as run,
        client_of(run) as client,
    ):
        files = attachments(origin, root)
        endpoint = EndpointFields(name="csv", url=origin.url("/csv"), auth="bearer", secret="t0ken")
        demo = AccountFields(
            host="127.0.0.1", port=relay.port, tls="none", attachment_endpoints=[endpoint]
        )
        await client.create_account("demo", **demo)
        await client.submit(
            from_address="Müller, Jörg <j@a.test>",
            to=['"Ann, née Ü" <ann@b.test>', "bob@b.test"],
            subject="Ihre Übersicht – 日本語",
            html=HTML,
            attachments=files,
        )
        await relay.until(lambda: relay.messages, "it came", seconds=60)
    octets = relay.messages[0].octets
    assert by_python(octets) == FILES
    assert_seen(await by_node(octets, folder))
