"""The live page in a real browser, over a front and a dispatcher that send real mail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Route, expect

from tests.support.browser import Visit, browsing, visiting
from tests.support.calling import ahead
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.relay_script import Seen, Turn
from tests.support.served import dispatching
from tests.support.watched import Watched

pytestmark = pytest.mark.needs_debian("chromium")


def refusing(seen: Seen) -> str | None:
    return "550 5.1.1 no <b>such</b> user" if "nobody" in seen.line else None


REFUSING: dict[str, Turn] = {"RCPT": refusing}


@asynccontextmanager
async def page_on(
    watched: Watched, path: str = "/", script: dict[str, Turn] = REFUSING
) -> AsyncIterator[tuple[Visit, ScriptedRelay]]:
    """Open the page beside a dispatcher and a relay; whatever the page complains of fails."""
    async with ScriptedRelay(script) as relay, dispatching(watched.front), browsing() as browser:
        await watched.front.first.make_account(relay.port, "shop")
        async with visiting(browser, watched.url + path) as visit:
            yield visit, relay
            assert visit.complaints == []
            assert {url.split("/")[2] for url in visit.asked} == {watched.url.split("/")[2]}


async def submit(watched: Watched, *recipients: str, **fields: object) -> str:
    email = composed({"account_id": "shop", **fields}, to=[{"address": one} for one in recipients])
    return (await watched.front.first.submit(email)).message_id


async def test_charts_move_while_mail_flows(watched: Watched) -> None:
    async with page_on(watched) as (visit, _):
        page = visit.page
        await expect(page.locator("#live")).to_have_text("live")
        told = page.locator("#told-throughput")
        chart = page.locator("#chart-throughput canvas")
        await expect(chart).to_be_visible()
        before = await chart.evaluate("canvas => canvas.toDataURL()")
        flowing = asyncio.create_task(flow(watched))
        try:
            await expect(told).to_contain_text("sent 1", timeout=20_000)
            await expect(page.locator("#told-latency")).to_contain_text("p95")
            await expect(page.locator("#tile-success")).to_have_text("100.0%")
            assert await chart.evaluate("canvas => canvas.toDataURL()") != before
        finally:
            flowing.cancel()


async def flow(watched: Watched) -> None:
    number = 0
    while True:
        number += 1
        await submit(watched, f"u{number}@b.test")
        await asyncio.sleep(0.08)


async def test_a_failed_message_is_found_by_its_recipient_its_dialogue_shown_and_retried(
    watched: Watched,
) -> None:
    script: dict[str, Turn] = {"RCPT": refusing}
    async with page_on(watched, "/#/messages", script) as (visit, relay):
        page = visit.page
        message_id = await submit(watched, "nobody@b.test")
        await relay.until(lambda: "RCPT" in relay.verbs(), "tried")
        await page.get_by_label("recipient").fill("nobody@b.test")
        await page.get_by_role("button", name="Search").click()
        await page.get_by_role("link", name=message_id).click()
        timeline = page.get_by_role("region", name="Timeline")
        await expect(timeline).to_contain_text("RCPT TO:<nobody@b.test>")
        await expect(timeline).to_contain_text("550 5.1.1 no <b>such</b> user")
        script.clear()
        await page.get_by_role("button", name="Retry").click()
        await expect(page.locator("#said")).to_contain_text("1 back in the queue")
        await expect(page.locator("main")).to_contain_text("sent", timeout=20_000)
        await expect(page.get_by_role("button", name="Retry")).to_have_count(0)
        await expect(page.get_by_role("region", name="Timeline")).to_contain_text("250 2.0.0")


async def test_failures_are_listed_with_the_relays_words_and_lead_to_the_message(
    watched: Watched,
) -> None:
    async with page_on(watched) as (visit, _):
        await submit(watched, "nobody@b.test")
        failures = visit.page.get_by_role("region", name="Recent failures").last
        await expect(failures).to_contain_text("550 no <b>such</b> user", timeout=20_000)
        await failures.get_by_role("link", name="nobody@b.test").click()
        await expect(visit.page.get_by_role("heading", level=1)).to_have_text("Message")


async def test_a_stream_that_breaks_and_comes_back_lists_no_failure_twice(watched: Watched) -> None:
    told: list[bytes] = []
    whole = asyncio.Event()

    async def cut(route: Route) -> None:
        """Cut the stream after its first words, until these were three times about a failure."""
        if sum(b"nobody" in each for each in told) >= 3:
            await route.continue_()
            whole.set()
            return
        async with watched.http.get(route.request.url) as stream:
            told.append(await stream.content.readuntil(b"\n\n"))
        await route.fulfill(body=b"retry: 50\n" + told[-1], content_type="text/event-stream")

    async with page_on(watched) as (visit, _):
        await submit(watched, "nobody@b.test")
        await visit.page.route("**/api/events*", cut)
        await visit.page.reload()
        failures = visit.page.get_by_role("region", name="Recent failures").last
        await expect(failures).to_contain_text("nobody@b.test", timeout=20_000)
        await asyncio.wait_for(whole.wait(), 20)
        await expect(failures.locator("tbody tr")).to_have_count(1)


async def test_an_account_is_paused_and_resumed_and_says_why_mail_waits(watched: Watched) -> None:
    async with page_on(watched) as (visit, relay):
        page = visit.page
        row = page.get_by_role("row", name="shop")
        await row.get_by_role("button", name="Pause").click()
        await expect(row).to_contain_text("paused")
        message_id = await submit(watched, "ann@b.test")
        await page.goto(f"{watched.url}/#/message/{message_id}")
        await expect(page.get_by_role("region", name="Why it waits")).to_contain_text("paused")
        await page.goto(f"{watched.url}/#/")
        await page.get_by_role("row", name="shop").get_by_role("button", name="Resume").click()
        await relay.until(lambda: relay.messages, "sent after the pause")


async def test_a_waiting_message_is_cancelled_after_asking(watched: Watched) -> None:
    async with page_on(watched) as (visit, _):
        page, front = visit.page, watched.front
        message_id = await submit(watched, "ann@b.test", send_time=ahead(hours=1))
        await page.goto(f"{watched.url}/#/message/{message_id}")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Keep it").click()
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Cancel it").click()
        await expect(page.locator("main")).to_contain_text("cancelled")
        states = [each.state for each in (await front.first.get(message_id)).recipients]
        assert states == [6]


@pytest.mark.parametrize("words", ["order=17", "r-17", "ID"])
async def test_a_message_is_found_by_label_request_id_and_id(watched: Watched, words: str) -> None:
    async with page_on(watched, "/#/messages") as (visit, _):
        page = visit.page
        email = composed({"account_id": "shop", "labels": {"order": "17"}})
        sent = await watched.front.first.submit(email, request_id="r-17")
        wanted = sent.message_id if words == "ID" else words
        await page.get_by_label("recipient").fill(wanted)
        await page.keyboard.press("Enter")
        if words == "order=17":
            await page.get_by_role("link", name=sent.message_id).click()
        await expect(page.locator("main")).to_contain_text("Your order")
