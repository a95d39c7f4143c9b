"""Who may see the HTTP port: judged for each request, before anything else.

A page with buttons on loopback is open to other pages in the same browser: by DNS rebinding, a
name of theirs that points here, and by requests across origins. So Host must be an address, or a
name that was named, unless the token comes along; whatever changes something must come from this
origin.
"""

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from mailproxy_server.mail.errors import Unavailable

COOKIE = "mailproxy"
SESSION_SECONDS = 12 * 3600
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_HEALTH = ("/healthz", "/readyz")
"""For everybody: it says nothing but whether this server is up."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""The content security policy of everything here that says no other."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Guard:
    """The judge. `token` "" means: this machine alone, and nothing that was forwarded."""

    token: str
    hosts: Sequence[str]
    metrics_open: bool = False

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request in or refuse it."""
        self._check_host(request)
        self._check_origin(request)
        self._check_access(request)
        try:
            return await handler(request)
        except Unavailable as error:
            return web.Response(status=503, text=error.message + "\n")

    async def dress(self, _: web.Request, response: web.StreamResponse) -> None:
        """Give every answer, streams and refusals too, the headers of a careful page."""
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)

    def session(self) -> str:
        """Give the value of a cookie that stands for the token, for a while; any replica takes
        it."""
        until = str(int(time.time()) + SESSION_SECONDS)
        return f"{until}.{self._seal(until)}"

    def knows(self, token: str) -> bool:
        """Whether it is the token."""
        return bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())

    def _check_host(self, request: web.Request) -> None:
        """Refuse a name that was not named, except for who sends the token itself: a page that
        points its name here does not know it. Prometheus does, and comes by any name."""
        if _path(request) in _HEALTH or self._bears_token(request):
            return
        try:
            host = urlsplit(f"//{request.headers.get(hdrs.HOST, '')}").hostname or ""
        except ValueError:
            host = ""
        if host != "localhost" and host not in self.hosts and not _is_address(host):
            raise web.HTTPMisdirectedRequest(
                text=f"{host[:100]!r} is not served here: name it in MAILPROXY_HTTP_HOSTS\n"
            )

    def _check_origin(self, request: web.Request) -> None:
        if request.method in _SAFE and request.headers.get("sec-fetch-site") != "cross-site":
            return
        origin = request.headers.get(hdrs.ORIGIN)
        same = origin is None or urlsplit(origin).netloc == request.host
        site = request.headers.get("sec-fetch-site", "same-origin")
        if request.method in _SAFE and request.headers.get("sec-fetch-mode") == "navigate":
            return  # a link from elsewhere: the page is shown, and changes nothing
        if not same or site not in ("same-origin", "none"):
            raise web.HTTPForbidden(text="requests from other pages are not answered\n")

    def _check_access(self, request: web.Request) -> None:
        path = _path(request)
        if path in _HEALTH or path == "/login" or path.startswith("/static/"):
            return
        if path == "/metrics" and self.metrics_open:
            return
        if not self.token:
            if not _is_local(request):
                raise web.HTTPForbidden(
                    text="only this machine may see this: set MAILPROXY_HTTP_TOKEN, and send "
                    "'authorization: Bearer <token>'\n"
                )
        elif not self._has_token(request):
            if path == "/":
                raise web.HTTPSeeOther("/login")
            raise web.HTTPUnauthorized(
                text="send 'authorization: Bearer <MAILPROXY_HTTP_TOKEN>'\n",
                headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
            )

    def _bears_token(self, request: web.Request) -> bool:
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        return scheme.lower() == "bearer" and self.knows(given.strip())

    def _has_token(self, request: web.Request) -> bool:
        if self._bears_token(request):
            return True
        until, _, seal = request.cookies.get(COOKIE, "").partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < 12):
            return False
        fresh = int(until) > time.time()
        return secrets.compare_digest(seal.encode(), self._seal(until).encode()) and fresh

    def _seal(self, until: str) -> str:
        return hmac.new(self.token.encode(), f"page {until}".encode(), hashlib.sha256).hexdigest()


def _path(request: web.Request) -> str:
    """Give the path of the route that will answer; "" where there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(request: web.Request) -> bool:
    """Whether it comes from this machine, and nobody passed it on."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
