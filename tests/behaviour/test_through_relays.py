"""What goes through Postfix and through Exim arrives as it was meant, and its signatures hold."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from mailproxy import Attachment

from tests.bench.postfix import Postfix
from tests.support.debian import require_root
from tests.support.dkim_verifier import ED25519, RSA, verified
from tests.support.exim import exim
from tests.support.relay import ScriptedRelay
from tests.support.replicas import client_of, replica

pytestmark = pytest.mark.needs_debian("postfix", "exim4-daemon-light")
BINARY = bytes(range(256)) * 400
KEYS = [
    {"domain": "a.test", "selector": "r", "private_key": RSA},
    {"domain": "a.test", "selector": "e", "private_key": ED25519},
]
ODD = ".\r\n..\r\n. a\r\n\t \r\nFrom me\r\n>From you\r\n" + "x" * 990 + "\r\n\r\n\r\n"
RAW = b"From: r@a.test\r\nSubject:  raw\r\n  folded\r\n\r\n.dot\r\n\r\n \r\nGr\xc3\xbc\xc3\x9fe\r\n"
MESSAGES: list[dict[str, Any]] = [
    {"subject": "plain", "text": ODD},
    {"subject": "Żółć " * 40, "text": "Grüße\n" * 300, "html": "<p>Grüße</p>"},
    {
        "subject": "files",
        "html": '<img src="cid:logo">' + "é" * 2000,
        "attachments": [
            Attachment("logo.png", b"\x89PNG", content_id="logo", inline=True),
            Attachment("Überblick – 2026.bin", BINARY),
            Attachment("lines.txt", b".\r\n..\r\na\nb\rc"),
        ],
    },
    {"subject": "to many", "text": "x", "cc": [f'"Ü, {n}" <u{n}@b.test>' for n in range(30)]},
]

COUNT = len(MESSAGES) + 1


@contextmanager
def postfix(folder: Path, sink: int) -> Iterator[int]:
    with Postfix(folder, sink, log=False) as one:
        yield one.port


def parts(octets: bytes) -> list[tuple[str, str, bytes]]:
    """Give what is in a message: types, names and bytes of its leaves."""
    message: Any = message_from_bytes(octets, policy=policy.default)
    return [
        (part.get_content_type(), str(part.get_filename()), part.get_payload(decode=True))
        for part in message.walk()
        if not part.is_multipart()
    ]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("relaying", [postfix, exim])
async def test_mail_arrives_intact(
    relaying: Callable[[Path, int], AbstractContextManager[int]], data_dir: Path, database_url: str
) -> None:
    """The same mails go straight to the judge first, so that there is something to compare."""
    require_root("Postfix runs as root only")
    data_dir.mkdir()
    async with (
        ScriptedRelay() as straight,
        ScriptedRelay() as beyond,
        replica(data_dir, database_url) as run,
        client_of(run) as client,
    ):
        with relaying(data_dir.parent / "relay", beyond.port) as port:
            common: Any = {"host": "127.0.0.1", "tls": "none", "dkim_keys": KEYS}
            await client.create_account("straight", port=straight.port, **common)
            await client.create_account("relayed", port=port, **common)
            account = await client.get_account("relayed")
            for way in ("straight", "relayed"):
                for letter in MESSAGES:
                    await client.submit(
                        **letter, from_address="Ä <a@a.test>", to="b@b.test", account=way
                    )
                await client.submit(raw_mime=RAW, recipients=["b@b.test"], account=way)
            await straight.until(lambda: len(straight.messages) == COUNT, "all came", seconds=60)
            await beyond.until(lambda: len(beyond.messages) == COUNT, "all came", seconds=60)
    records = {key.dns_name: key.dns_text for key in account.dkim_keys}
    wanted = {m.header("Subject"): parts(m.octets) for m in straight.messages}
    found = {m.header("Subject"): parts(m.octets) for m in beyond.messages}
    assert found == wanted
    assert len(found) == COUNT
    for message in beyond.messages:
        assert b"\r\nReceived: " in b"\r\n" + message.octets
        assert verified(message.octets, records) == 2
