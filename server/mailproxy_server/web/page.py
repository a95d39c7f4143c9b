"""The live page: its files, signing in, and what it asks for."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from mailproxy_server.web.events import Events
from mailproxy_server.web.guard import COOKIE, SESSION_SECONDS, Guard
from mailproxy_server.web.tenants import TenantChoice

STATIC = Path(__file__).parent / "static"
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
CALLS = frozenset(
    {
        *("AccountService/GetAccount", "AccountService/ListAccounts"),
        *("AccountService/VerifyAccount", "QueueService/GetQueueStatus"),
        *("MessageService/CancelMessage", "MessageService/ExplainMessage"),
        *("MessageService/GetMessage", "MessageService/ListMessages"),
        *("MessageService/RescheduleMessage", "MessageService/RetryMessage"),
        *("QueueService/PauseQueue", "QueueService/ResumeQueue", "QueueService/RunNow"),
    }
)
"""What the page may do: look, hurry and hold back. It neither submits nor changes accounts."""

Calls = Callable[[UUID, str, bytes], Awaitable[tuple[int, dict[str, Any]]]]
"""Makes a call for a tenant: its path and body; gives an HTTP status and an answer."""


@dataclass(frozen=True, slots=True)
class Page:
    """The page of one server. `about` is what it is told of the server as it opens."""

    guard: Guard
    calls: Calls
    choice: TenantChoice
    events: Events
    about: dict[str, Any]

    def routes(self) -> list[web.AbstractRouteDef]:
        """Give its routes."""
        return [
            web.get("/", self._file("index.html")),
            web.get("/login", self._file("login.html")),
            web.post("/login", self._sign_in),
            web.post("/logout", self._sign_out),
            web.get("/static/{name:.+}", self._static),
            web.get("/api/about", self._about),
            web.get("/api/events", self.events.get),
            web.post("/api/call/{service}/{method}", self._call),
        ]

    def _file(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def give(_: web.Request) -> web.Response:
            return _response(name)

        return give

    async def _static(self, request: web.Request) -> web.Response:
        return _response(request.match_info["name"])

    async def _sign_in(self, request: web.Request) -> web.Response:
        given = (await request.post()).get("token", "")
        if not (isinstance(given, str) and self.guard.knows(given.strip())):
            raise web.HTTPSeeOther("/login?wrong")
        answer = web.HTTPSeeOther("/")
        answer.set_cookie(
            COOKIE,
            self.guard.session(),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        raise answer

    async def _sign_out(self, _: web.Request) -> web.Response:
        answer = web.HTTPSeeOther("/login")
        answer.del_cookie(COOKIE)
        raise answer

    async def _about(self, _: web.Request) -> web.Response:
        return _json({**self.about, "tenants": await self.choice.all()})

    async def _call(self, request: web.Request) -> web.Response:
        path = f"{request.match_info['service']}/{request.match_info['method']}"
        if path not in CALLS:
            raise web.HTTPNotFound(text="the page has no such call\n")
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="send application/json\n")
        tenant_id = await self.choice.of(request)
        status, answer = await self.calls(tenant_id, path, await request.read())
        return _json(answer, status)


def _json(answer: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(answer, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})


@cache
def _shipped() -> dict[str, tuple[str, bytes]]:
    """Give the kind and octets of each file of the page: a request is looked up, and no path is
    made of it."""
    return {
        file.relative_to(STATIC).as_posix(): (_KINDS[file.suffix], file.read_bytes())
        for file in STATIC.rglob("*")
        if file.suffix in _KINDS
    }


def _response(name: str) -> web.Response:
    if name not in _shipped():
        raise web.HTTPNotFound(text="there is nothing here\n")
    kind, octets = _shipped()[name]
    return web.Response(
        body=octets,
        content_type=kind,
        charset="utf-8",
        headers={hdrs.CACHE_CONTROL: "no-cache"},
    )
