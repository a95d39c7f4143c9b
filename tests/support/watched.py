"""A front with its HTTP port, in the test's own loop, and numbers read from it."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from mailproxy_server.app.ports import hold
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from tests.support.debian import require
from tests.support.served import ANYWHERE, Front, front_on


@dataclass
class Watched:
    """A front, and a session with its HTTP port."""

    front: Front
    url: str
    http: aiohttp.ClientSession

    async def scrape(self) -> str:
        """Give the text of /metrics."""
        async with self.http.get(self.url + "/metrics") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def number(self, name: str, **labels: str) -> float | None:
        """Give one sample, None where there is none with these labels."""
        return number(await self.scrape(), name, **labels)

    async def status(self, path: str, method: str = "GET", **options: Any) -> int:
        """Give the status of the answer to a path as it is spelled, without following it."""
        url = URL(self.url + path, encoded=True)
        async with self.http.request(method, url, allow_redirects=False, **options) as answer:
            return answer.status


@asynccontextmanager
async def watched_on(url: str, through: str = "", **settings: Any) -> AsyncIterator[Watched]:
    """Serve with an HTTP port on a free port of 127.0.0.1, until the block ends."""
    held, listen = hold(ANYWHERE, "MAILPROXY_HTTP_LISTEN")
    try:
        async with (
            front_on(url, through, **{"http_listen": listen} | settings) as front,
            aiohttp.ClientSession() as http,
        ):
            yield Watched(front, f"http://{listen}", http)
    finally:
        held.close()


def number(text: str, name: str, **labels: str) -> float | None:
    """Give one sample of an exposition; None where there is none with these labels."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def promtool(*arguments: str, given: str = "") -> str:
    """Run promtool; fails with its words when it is not content."""
    done = subprocess.run(
        [require("prometheus"), *arguments], input=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
