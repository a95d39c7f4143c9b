"""The page can be read and used by everybody: no serious finding of axe-core, in light and dark,
wide and narrow; by keyboard alone."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import browsing, visiting
from tests.support.debian import require
from tests.support.emails import composed
from tests.support.foreign import call
from tests.support.relay import ScriptedRelay
from tests.support.served import dispatching
from tests.support.watched import Watched

pytestmark = pytest.mark.needs_debian("chromium", "nodejs", "npm")
CACHE = Path(sys.prefix) / "npm-cache"
HERE = Path(__file__).with_name("axe")


async def axe_core(folder: Path) -> str:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    how = ("--ignore-scripts", "--prefer-offline", "--cache", CACHE)
    installed = await call(folder, require("npm"), "ci", *how, **os.environ)
    assert installed.code == 0, installed.err
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


async def findings(page: Page, axe: str) -> list[str]:
    await page.evaluate(axe)
    found: dict[str, Any] = await page.evaluate("axe.run()")
    return [
        f"{one['id']}: {one['help']} {[node['target'] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(watched: Watched, scheme: Any, tmp_path: Path) -> None:
    axe, first = await axe_core(tmp_path), watched.front.first
    async with (
        ScriptedRelay({"RCPT": "550 5.1.1 no"}) as relay,
        dispatching(watched.front),
        browsing() as browser,
        visiting(browser, watched.url, color_scheme=scheme, bypass_csp=True) as visit,
    ):
        await first.make_account(relay.port, "shop")
        sent = await first.submit(composed({"account_id": "shop"}))
        page = visit.page
        await expect(page.locator("main")).to_contain_text("550 no", timeout=20_000)
        assert await findings(page, axe) == []
        await page.goto(f"{watched.url}/#/messages")
        await expect(page.get_by_role("link", name=sent.message_id)).to_be_visible()
        assert await findings(page, axe) == []
        await page.goto(f"{watched.url}/#/message/{sent.message_id}")
        await expect(page.locator("main")).to_contain_text("Timeline")
        assert await findings(page, axe) == []
        assert visit.complaints == []


async def test_it_fits_a_phone(watched: Watched) -> None:
    async with (
        browsing() as browser,
        visiting(browser, watched.url, viewport={"width": 360, "height": 740}) as visit,
    ):
        await expect(visit.page.locator("#chart-latency canvas")).to_be_visible()
        wide = await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0


async def test_the_keyboard_reaches_everything(watched: Watched) -> None:
    async with browsing() as browser, visiting(browser, watched.url) as visit:
        page = visit.page
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        reached = []
        for _ in range(12):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.textContent.trim()"))
        for wanted in ("Skip to content", "Overview", "Messages", "Pause", "Run now"):
            assert wanted in reached
        await page.get_by_role("button", name="Pause").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_contain_text("paused")
