"""Signing in with the token: a cookie that no script reads and no other page sends."""

import json
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from tests.support.watched import Watched, watched_on

TOKEN = "an-operators-token"
JSON = {"content-type": "application/json"}
STATUS = "/api/call/QueueService/GetQueueStatus"


async def sign_in(watched: Watched, token: str) -> tuple[str, SimpleCookie]:
    async with watched.http.post(
        watched.url + "/login", data={"token": token}, allow_redirects=False
    ) as answer:
        return answer.headers["location"], answer.cookies


async def test_a_page_without_a_token_leads_to_signing_in(database_url: str) -> None:
    async with watched_on(database_url, http_token=TOKEN) as watched:
        assert await watched.status("/") == 303
        assert await watched.status("/login") == 200
        assert await watched.status("/static/style.css") == 200
        assert await watched.status("/api/about") == 401
        assert (await sign_in(watched, "wrong-token-of-somebody"))[0] == "/login?wrong"


async def test_the_cookie_is_good_for_the_page_and_careful(database_url: str) -> None:
    async with watched_on(database_url, http_token=TOKEN) as watched:
        where, cookies = await sign_in(watched, TOKEN)
        assert where == "/"
        cookie = cookies["mailproxy"]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert TOKEN not in cookie.value
        given = {"cookie": f"mailproxy={cookie.value}"}
        assert await watched.status("/api/about", headers=given) == 200
        stale = {"cookie": f"mailproxy=1.{cookie.value.partition('.')[2]}"}
        assert await watched.status("/api/about", headers=stale) == 401
        assert await watched.status("/api/about", headers={"cookie": "mailproxy=x"}) == 401


async def tenant(watched: Watched) -> str:
    return str(await watched.front.tenant_of(watched.front.first))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (JSON, 200),
        ({**JSON, "origin": "http://evil.test"}, 403),
        ({**JSON, "origin": "null"}, 403),
        ({**JSON, "sec-fetch-site": "same-site"}, 403),
        ({**JSON, "sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_other_pages_cannot_press_its_buttons(
    watched: Watched, headers: dict[str, str], status: int
) -> None:
    path = f"{STATUS}?tenant={await tenant(watched)}"
    assert await watched.status(path, "POST", data=b"{}", headers=headers) == status


async def test_its_own_origin_may(watched: Watched) -> None:
    path = f"{STATUS}?tenant={await tenant(watched)}"
    own = {**JSON, "origin": watched.url, "sec-fetch-site": "same-origin"}
    assert await watched.status(path, "POST", data=b"{}", headers=own) == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (STATUS, b"{", 400, "cannot be read"),
        (STATUS, b"[1]", 400, "not a JSON object"),
        (STATUS, b'{"account": 1}', 400, "account"),
        (STATUS, b"[" * 100_000, 400, ""),
        ("/api/call/MessageService/GetMessage", b'{"messageId": "x"}', 400, "message_id"),
        ("/api/call/AccountService/ManageAccount", b"{}", 404, "no such call"),
        ("/api/call/MessageService/SubmitMessage", b"{}", 404, "no such call"),
    ],
)
async def test_what_is_asked_wrongly_is_told(
    watched: Watched, path: str, body: bytes, status: int, words: str
) -> None:
    url = f"{watched.url}{path}?tenant={await tenant(watched)}"
    async with watched.http.post(url, data=body, headers=JSON) as answer:
        text = await answer.text()
        assert (answer.status, words in text) == (status, True), text


async def test_a_tenant_must_be_named_and_exist(watched: Watched) -> None:
    for query, status in (("", 400), ("?tenant=x", 400), (f"?tenant={'0' * 32}", 404)):
        assert await watched.status(STATUS + query, "POST", data=b"{}", headers=JSON) == status


async def test_a_tenant_sees_nothing_of_another(watched: Watched) -> None:
    front = watched.front
    sent = await front.first.submit()
    other = await front.tenant_of(front.other)
    url = f"{watched.url}/api/call/MessageService/GetMessage?tenant={other}"
    body = json.dumps({"messageId": sent.message_id}).encode()
    async with watched.http.post(url, data=body, headers=JSON) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (404, "MESSAGE_NOT_FOUND")


@pytest.mark.parametrize(
    "name",
    ["../page.py", "..%2Fpage.py", "x.html", "vendor", "vendor/uplot/LICENSE", "./style.css"],
)
async def test_only_the_pages_own_files_are_given(watched: Watched, name: str) -> None:
    assert await watched.status(f"/static/{name}") == 404


@pytest.mark.parametrize("before", ["", "/", "%2F", "../../../../../../../..", "x/..//"])
async def test_no_other_file_of_the_machine_is_given(
    watched: Watched, tmp_path: Path, before: str
) -> None:
    file = tmp_path / "secret.html"
    file.write_text("secret")
    assert await watched.status(f"/static/{before}{file}") == 404
