"""Debian's Chromium, driven over a page of a server that is watched."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.support.debian import require


@dataclass
class Visit:
    """A page, and all that it complained of or asked for."""

    page: Page
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Run a browser for the length of the block."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visiting(browser: Browser, url: str, **options: Any) -> AsyncIterator[Visit]:
    """Open a page in a profile of its own; options are Playwright's for a context."""
    still = {"reduced_motion": "reduce"}  # an animation has the browser paint all the time
    context = await browser.new_context(**(still | options))
    visit = Visit(await context.new_page(), context)
    visit.page.set_default_timeout(20_000)
    visit.page.on("console", lambda said: _note(visit, said.type, said.text))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("request", lambda request: visit.asked.append(request.url))
    try:
        await visit.page.goto(url)
        yield visit
    finally:
        await context.close()


def _note(visit: Visit, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        visit.complaints.append(text)
