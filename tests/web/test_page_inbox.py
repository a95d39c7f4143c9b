"""The demo's inbox on the page: mail as a client shows it, and harmless whatever it holds."""

from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from mailproxy_server.web import mailbox
from playwright.async_api import expect

from tests.support.browser import browsing, visiting
from tests.support.watched import Watched, watched_on

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(40)
HOSTILE = """<h1>Hello</h1><script>document.title = 'owned'; fetch('/api/about')</script>
<img src="http://tracker.test/pixel.gif"><img id="own" src="cid:logo" onerror="top.x=1">
<link rel="stylesheet" href="http://tracker.test/x.css"><style>h1{color:rgb(1, 2, 3)}</style>
<form action="/api/call/QueueService/RunNow" method="post"><button>Pay</button></form>
<iframe src="http://tracker.test/"></iframe><a href="javascript:alert(1)">x</a>"""


def message() -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Shop <a@a.test>", "b@b.test", "<b>Grüße</b> ✉"
    mail.set_content("The text.\n")
    mail.add_alternative(HOSTILE, subtype="html")
    html = mail.get_payload()[1]  # type: ignore[index]
    html.add_related(PICTURE, "image", "png", cid="<logo>")  # type: ignore[union-attr]
    mail.add_attachment(b"a;b\n", maintype="text", subtype="csv", filename="../übersicht.csv")
    return mail.as_bytes().replace(b"\n", b"\r\n")


@pytest.fixture
async def caught(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Watched, str]]:
    folder = tmp_path / mailbox.FOLDER
    mailbox.keep(folder, "a@a.test", ["b@b.test"], message())
    async with watched_on(database_url, demo=True, data_dir=tmp_path) as watched:
        yield watched, mailbox.names(folder)[0]


async def test_mail_is_shown_and_nothing_of_it_runs_or_is_fetched(
    caught: tuple[Watched, str],
) -> None:
    watched, _ = caught
    async with browsing() as browser, visiting(browser, watched.url + "/#/inbox") as visit:
        page = visit.page
        await page.get_by_role("link", name="<b>Grüße</b> ✉").click()
        await expect(page.locator("main")).to_contain_text("The text.")
        frame = page.frame_locator("iframe.mail")
        await expect(frame.get_by_role("heading")).to_have_text("Hello")
        await expect(frame.get_by_role("heading")).to_have_css("color", "rgb(1, 2, 3)")
        source = await frame.locator("#own").get_attribute("src")
        assert source is not None
        assert source.startswith("data:image/png")
        assert await page.title() != "owned"
        assert await page.evaluate("window.x") is None
        hosts = {url.split("/")[2] for url in visit.asked if url.startswith("http")}
        refused = [said for said in visit.complaints if "Content Security Policy" in said]
        assert hosts - {"tracker.test"} == {watched.url.split("/")[2]}
        assert refused, "the browser says that it did not load what was not allowed"
        await expect(page.get_by_role("link", name="../übersicht.csv")).to_be_visible()


async def test_files_and_source_are_given_as_files(caught: tuple[Watched, str]) -> None:
    watched, name = caught
    for path, kind, part in (
        (f"/inbox/{name}/file/1", "application/octet-stream", b"a;b"),
        (f"/inbox/{name}/source", "text/plain", b"Subject:"),
        (f"/inbox/{name}/html", "text/html", b"<h1>Hello</h1>"),
    ):
        async with watched.http.get(watched.url + path) as answer:
            assert answer.content_type == kind
            assert part in await answer.read()
            assert "sandbox" in answer.headers["content-security-policy"]
            assert "script-src" not in answer.headers["content-security-policy"]
    async with watched.http.get(watched.url + f"/inbox/{name}/file/1") as answer:
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''..")
        assert "/" not in answer.headers["content-disposition"]


@pytest.mark.parametrize("name", ["x", "..%2F..%2Ftoken", "00000000000000-00000000"])
async def test_what_is_not_there_is_not_found(caught: tuple[Watched, str], name: str) -> None:
    watched, _ = caught
    assert await watched.status(f"/api/inbox/{name}") == 404
    assert await watched.status(f"/inbox/{name}/source") == 404


async def test_without_the_demo_there_is_no_inbox(watched: Watched) -> None:
    assert await watched.status("/api/inbox") == 404
