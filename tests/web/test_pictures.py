"""The pictures of the page in the documentation. `make pictures` takes them anew, in two minutes;
ordinarily the same is done in seconds, and thrown away."""

import asyncio
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2
from playwright.async_api import expect

from tests.support.browser import browsing, visiting
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.relay_script import Say, Seen
from tests.support.served import dispatching
from tests.support.watched import Watched

pytestmark = [pytest.mark.needs_debian("chromium"), pytest.mark.timeout(300)]
FOLDER = os.environ.get("PICTURES", "")
SECONDS = 150.0 if FOLDER else 2.0
WORDS = (
    "550 5.1.1 <{}>: user unknown in virtual mailbox table",
    "552 5.2.2 <{}>: mailbox full",
    "451 4.7.1 <{}>: greylisted, please try again later",
)
NAMES = ("ann", "ben", "carla", "deniz", "eva", "farid", "greta", "hugo", "ines", "jon", "kim")


def reply(seen: Seen) -> Say | None:
    """Refuse some recipients, as life does."""
    words = sum(map(ord, seen.address))
    if words % 19 == 0:
        return Say(WORDS[words % 3].format(seen.address))
    return None


async def flow(watched: Watched) -> None:
    """Mail comes in waves."""
    clock, chance = asyncio.get_running_loop().time, random.Random(7)
    began = clock()
    while True:
        wave = 6 + 5 * ((clock() - began) % 60 > 25) + chance.random() * 4
        for account in ("shop", "shop", "newsletter", "codes"):
            address = f"{chance.choice(NAMES)}.{chance.randrange(900)}@example.net"
            email = composed(
                {"account_id": account, "labels": {"order": str(chance.randrange(10_000, 99_999))}},
                to=[{"address": address}],
            )
            await watched.front.first.submit(email)
        await asyncio.sleep(4 / wave / 4)


async def test_pictures(watched: Watched, tmp_path: Path) -> None:
    folder = Path(FOLDER) if FOLDER else tmp_path
    limit = account_pb2.RateLimit(count=40_000, window=Duration(seconds=3600))
    first = watched.front.first
    async with (
        ScriptedRelay({"RCPT": reply}) as relay,
        ScriptedRelay({"DOT": Say("250 2.0.0 Ok", drip=0.002)}) as slow,
        dispatching(watched.front),
        browsing() as browser,
    ):
        await first.make_account(relay.port, "shop", limits=[limit])
        await first.make_account(slow.port, "newsletter", max_connections=2)
        await first.make_account(relay.port, "codes")
        flowing = asyncio.create_task(flow(watched))
        size = {"width": 1280, "height": 1290}
        async with visiting(browser, watched.url, viewport=size) as visit:
            page = visit.page
            await asyncio.sleep(SECONDS)
            await expect(page.locator("#chart-latency canvas")).to_be_visible()
            await page.screenshot(path=folder / "page-overview.png")
        failed = "nobody.8@example.net"
        assert reply(Seen(1, "RCPT", f"RCPT TO:<{failed}>", 0)) is not None
        email = composed({"account_id": "shop"}, to=[{"address": failed}], subject="Your order 17")
        sent = await first.submit(email)
        path = f"{watched.url}/#/message/{sent.message_id}"
        async with visiting(
            browser, path, viewport={"width": 1280, "height": 900}, color_scheme="dark"
        ) as visit:
            await expect(visit.page.locator("main")).to_contain_text("SMTP dialogue")
            await visit.page.screenshot(path=folder / "page-message.png")
        flowing.cancel()
        with suppress(asyncio.CancelledError):
            await flowing
    for name in ("page-overview.png", "page-message.png"):
        assert (folder / name).stat().st_size > 20_000
