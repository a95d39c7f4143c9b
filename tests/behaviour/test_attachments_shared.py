"""A thousand messages share three files: two replicas fetch each once, a damaged one once more."""

import asyncio
import hashlib
import os
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import asyncpg
import pytest
from mailproxy import AccountFields, AsyncMailProxyClient, Attachment, Message

from tests.support.origin import Origin
from tests.support.relay import ScriptedRelay
from tests.support.replicas import client_of, replica

FILES = {f"/{name}": os.urandom(30_000) for name in "abc"}
MESSAGES = 1_000
SETTINGS: dict[str, float | str] = {
    "egress_allow": "127.0.0.1/32",
    "poll_seconds": 1,
    "blob_memory_bytes": 0,
}


def relay_at(port: int) -> AccountFields:
    return AccountFields(
        port=port, host="127.0.0.1", tls="none", retry={"first_delay": timedelta(seconds=1)}
    )


def named(origin: Origin) -> list[Attachment]:
    """Give the files by every way to say a digest."""
    a, b, c = FILES
    md5 = hashlib.md5(FILES[a], usedforsecurity=False).hexdigest()
    sha256 = hashlib.sha256(FILES[b]).hexdigest()
    return [
        Attachment(f"a_{{MD5:{md5}}}.bin", url=origin.url(a)),
        Attachment("b.bin", url=origin.url(b), sha256=sha256),
        Attachment("c.bin", url=origin.url(c), sha256=hashlib.sha256(FILES[c]).hexdigest()),
    ]


def digests(octets: bytes) -> list[bytes]:
    parts = message_from_bytes(octets).walk()
    found = [part.get_payload(decode=True) for part in parts if part.get_filename()]
    return [hashlib.sha256(bytes(one)).digest() for one in found if isinstance(one, bytes)]


async def submit(clients: list[AsyncMailProxyClient], files: list[Attachment], count: int) -> None:
    letters = [
        Message(from_address="a@a.test", to=f"u{number}@b.test", attachments=files)
        for number in range(count)
    ]
    half = len(letters) // 2
    for sent in await asyncio.gather(
        clients[0].submit_many(letters[:half]), clients[1].submit_many(letters[half:])
    ):
        assert not [one for one in sent if isinstance(one, Exception)]


@pytest.mark.timeout(300)
async def test_a_thousand_messages_make_three_fetches(data_dir: Path, database_url: str) -> None:
    data_dir.mkdir()
    wanted = [hashlib.sha256(octets).digest() for octets in FILES.values()]
    async with (
        Origin(FILES) as origin,
        ScriptedRelay() as relay,
        replica(data_dir, database_url, settings=SETTINGS) as one,
        replica(data_dir, database_url, settings=SETTINGS) as other,
        client_of(one) as first,
        client_of(other) as second,
    ):
        await first.create_account("demo", **relay_at(relay.port))
        files = named(origin)
        await submit([first, second], files, MESSAGES)
        await relay.until(lambda: len(relay.messages) == MESSAGES, "all have arrived", seconds=120)
        assert origin.asked == dict.fromkeys(FILES, 1)
        assert all(digests(message.octets) == wanted for message in relay.messages)

        link = await asyncpg.connect(database_url)
        await link.execute(
            "UPDATE mailproxy.blob_chunks SET data = set_byte(data, 7, 255 - get_byte(data, 7)) "
            "WHERE sha256 = $1 AND chunk_no = 0",
            wanted[1],
        )
        await link.close()
        relay.messages.clear()
        await submit([first, second], files, 2)
        await relay.until(lambda: len(relay.messages) == 2, "both have arrived", seconds=60)
        assert origin.asked["/b"] == 2
        assert all(digests(message.octets) == wanted for message in relay.messages)
