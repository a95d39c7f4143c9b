"""A token endpoint (RFC 6749) on loopback that answers what a test says, and remembers what it
was asked."""

import asyncio
import json
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Answer = dict[str, Any] | web.Response
"""The JSON of a 200, or any response."""


def issued(number: int, life: float = 3600, **more: Any) -> dict[str, Any]:
    """Give an answer with the token "token-<number>"."""
    return {
        "access_token": f"token-{number}",
        "token_type": "Bearer",
        "expires_in": life,
    } | more


def refused(error: str, status: int = 400, **more: Any) -> web.Response:
    """Give an error of section 5.2."""
    return web.json_response({"error": error} | more, status=status)


class TokenEndpoint:
    """Answers with `answer(n)` for the n-th request (from 1), once `gate` is open."""

    def __init__(
        self, answer: Callable[[int], Answer] = issued, *, tls: ssl.SSLContext | None = None
    ):
        self.answer = answer
        self.forms: list[dict[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.url = ""
        self._tls = tls
        app = web.Application()
        app.router.add_route("*", "/token", self._post)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def _post(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.forms.append({name: str(value) for name, value in form.items()})
        number = len(self.forms)
        self.asked.set()
        await self.gate.wait()
        answer = self.answer(number)
        if isinstance(answer, web.Response):
            return answer
        return web.Response(text=json.dumps(answer), content_type="application/json")

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"{'https' if self._tls else 'http'}://{host}:{port}/token"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.gate.set()
        await self._runner.cleanup()
