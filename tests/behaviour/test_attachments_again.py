"""What was fetched for the first attempt is what every later one sends, whoever makes it.

The source gives other bytes at every request; the relay says 451 to the first attempt; then the
whole server is killed, and another one takes over.
"""

import asyncio
import hashlib
import itertools
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from mailproxy import AccountFields, Attachment

from tests.support.dkim_verifier import ED25519, RSA, verified
from tests.support.origin import Origin, Page
from tests.support.relay import ScriptedRelay
from tests.support.replicas import client_of, replica

SETTINGS: dict[str, float | str] = {
    "egress_allow": "127.0.0.1/32",
    "poll_seconds": 1,
    "lease_seconds": 2,
}


def relay_at(port: int) -> AccountFields:
    return AccountFields(
        port=port,
        host="127.0.0.1",
        tls="none",
        retry={"first_delay": timedelta(seconds=1)},
        dkim_keys=[
            {"domain": "a.test", "selector": "r", "private_key": RSA},
            {"domain": "a.test", "selector": "e", "private_key": ED25519},
        ],
    )


def changing() -> Page:
    numbers = itertools.count()

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=f"version {next(numbers)}\r\n".encode() * 50_000)

    return answer


@pytest.mark.timeout(120)
async def test_the_second_attempt_sends_the_first_ones_bytes(
    data_dir: Path, database_url: str
) -> None:
    data_dir.mkdir()
    async with (
        Origin({"/a": changing(), "/b": changing()}) as origin,
        ScriptedRelay({"DOT": ["451 4.3.0 later", None]}) as relay,
        replica(data_dir, database_url, "--role", "front") as front,
        client_of(front) as client,
    ):
        await client.create_account("demo", **relay_at(relay.port))
        account = await client.get_account("demo")
        records = {key.dns_name: key.dns_text for key in account.dkim_keys}
        files = [Attachment(name, url=origin.url(f"/{name}")) for name in "ab"]
        async with replica(
            data_dir, database_url, "--role", "dispatcher", settings=SETTINGS
        ) as doomed:
            await client.submit(
                from_address="ä@a.test", to="b@b.test", html="<p>Grüße</p>", attachments=files
            )
            await relay.until(lambda: relay.messages, "the first attempt", seconds=30)
            await asyncio.to_thread(doomed.kill)
            async with replica(data_dir, database_url, "--role", "dispatcher", settings=SETTINGS):
                await relay.until(lambda: len(relay.messages) == 2, "the second", seconds=60)
        first, second = relay.messages
        assert (first.answer, second.answer) == (451, 250)
        assert hashlib.sha256(first.octets).digest() == hashlib.sha256(second.octets).digest()
        assert origin.asked == {"/a": 1, "/b": 1}
        assert verified(second.octets, records) == 2
