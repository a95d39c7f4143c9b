"""Who may see the HTTP port: hosts, origins, tokens."""

import asyncio
from pathlib import Path

import pytest
import yaml

from tests.support.between import between
from tests.support.serving import ROOT
from tests.support.watched import Watched, watched_on

TOKEN = "an-operators-token"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8080"}, 200),
        ({"host": "10.0.0.7"}, 200),
        ({"host": "[::1]:8080"}, 200),
        ({"host": "evil.test"}, 421),
        ({"host": "localhost.evil.test"}, 421),
        ({"host": ""}, 421),
        ({"x-forwarded-for": "203.0.113.7"}, 403),
        ({"forwarded": "for=203.0.113.7"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
async def test_without_a_token_it_is_for_this_machine_alone(
    watched: Watched, headers: dict[str, str], status: int
) -> None:
    assert await watched.status("/metrics", headers=headers) == status


async def test_a_token_is_asked_of_everybody_once_there_is_one(database_url: str) -> None:
    async with watched_on(database_url, http_token=TOKEN) as watched:
        assert await watched.status("/metrics") == 401
        assert await watched.status("/metrics", headers={"authorization": "Bearer wrong"}) == 401
        assert await watched.status("/metrics", headers=BEARER) == 200
        assert await watched.status("/healthz") == 200
        assert await watched.status("/readyz") == 200


async def test_metrics_can_be_opened_and_nothing_else_is(database_url: str) -> None:
    async with watched_on(database_url, http_token=TOKEN, metrics_open=True) as watched:
        assert await watched.status("/metrics") == 200
        assert await watched.status("/nothing") == 401


async def test_further_hosts_are_those_that_were_named(database_url: str) -> None:
    async with watched_on(database_url, http_hosts=("mail.corp",)) as watched:
        assert await watched.status("/metrics", headers={"host": "mail.corp:443"}) == 200
        assert await watched.status("/metrics", headers={"host": "other.corp"}) == 421
        assert await watched.status("/healthz", headers={"host": "other.corp"}) == 200


async def test_who_sends_the_token_comes_by_any_name_and_nobody_else(database_url: str) -> None:
    async with watched_on(database_url, http_token=TOKEN) as watched:
        async with watched.http.post(
            watched.url + "/login", data={"token": TOKEN}, allow_redirects=False
        ) as answer:
            cookie = answer.cookies["mailproxy"].value
        for name in compose_targets():
            host = {"host": name}
            assert await watched.status("/metrics", headers=host | BEARER) == 200
            for more in ({}, {"authorization": "Bearer wrong"}, {"cookie": f"mailproxy={cookie}"}):
                assert await watched.status("/metrics", headers=host | more) == 421


def compose_targets() -> list[str]:
    """Give what Prometheus scrapes in deploy/, with the token."""
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["authorization"]["credentials_file"]
    return [target for group in job["static_configs"] for target in group["targets"]]


async def test_every_answer_has_the_headers_of_a_careful_page(watched: Watched) -> None:
    tenant = await watched.front.tenant_of(watched.front.first)
    for path, host in (
        ("/metrics", "localhost"),
        ("/nothing", "localhost"),
        ("/", "evil.test"),
        (f"/api/events?tenant={tenant}", "localhost"),
    ):
        async with watched.http.get(watched.url + path, headers={"host": host}) as answer:
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_token_can_come_from_a_file(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    async with watched_on(database_url, http_token_file=file) as watched:
        assert await watched.status("/metrics") == 401
        assert await watched.status("/metrics", headers=BEARER) == 200


async def test_a_database_that_is_away_is_said(database_url: str) -> None:
    async with between(database_url) as way, watched_on(database_url, way.url) as one:
        await way.cut()
        async with one.http.get(one.url + "/api/about") as answer:
            assert (answer.status, "database does not answer" in await answer.text()) == (503, True)
        assert await one.status("/healthz") == 200


async def test_raw_requests_without_a_host_are_refused(watched: Watched) -> None:
    host, port = watched.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert b"421" in answer.split(b"\r\n")[0]
