"""A web server that attachments are fetched from: it counts, stalls, lies and changes its mind.

async with Origin({"/a.pdf": b"..."}) as origin:
    url = origin.url("/a.pdf")
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

Page = bytes | Callable[[web.Request], Awaitable[web.StreamResponse]]


class Origin:
    """Serves `pages` by path on a free port of loopback; what is in none of them is 404."""

    def __init__(self, pages: Mapping[str, Page] | None = None) -> None:
        self.pages = dict(pages or {})
        self.asked: Counter[str] = Counter()
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.peak = 0
        """The most requests that were open at a time."""
        self.port = 0
        self._open = 0
        self._changed = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    async def until(self, done: Callable[[], object]) -> None:
        """Wait until requests have come that make it true."""
        async with asyncio.timeout(20):
            while not done():
                self._changed.clear()
                await self._changed.wait()

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._serve))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked[request.path] += 1
        self.requests.append(request)
        self.bodies.append(await request.read())
        self._open += 1
        self.peak = max(self.peak, self._open)
        self._changed.set()
        try:
            page = self.pages.get(request.path)
            if page is None:
                return web.Response(status=404)
            if isinstance(page, bytes):
                return web.Response(body=page)
            return await page(request)  # type: ignore[arg-type]
        finally:
            self._open -= 1


def redirect(location: str, status: int = 302) -> Page:
    """Give a page that sends who asks elsewhere."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": location})

    return answer


def refusing(*statuses: int, then: bytes) -> Page:
    """Give a page that answers so, one after another, and then with its bytes."""
    left = list(statuses)

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=left.pop(0)) if left else web.Response(body=then)

    return answer
