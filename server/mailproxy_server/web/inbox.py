"""The demo's inbox on the page: what it caught, shown as a mail client would.

HTML goes into a frame without rights: no scripts, no forms, no links that lead out, and by its own
content security policy nothing is loaded from anywhere.
"""

from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

from aiohttp import hdrs, web

from mailproxy_server.web import mailbox, shown
from mailproxy_server.web.mailbox import Caught

FRAMED = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
"""The policy of mail in its frame; of scripts it allows none, of addresses only data:."""
_LISTED = 100


class InboxPage:
    """The messages in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def routes(self) -> list[web.AbstractRouteDef]:
        """Give its routes."""
        return [
            web.get("/api/inbox", self._list),
            web.get("/api/inbox/{name}", self._one),
            web.get("/inbox/{name}/html", self._html),
            web.get("/inbox/{name}/source", self._source),
            web.get("/inbox/{name}/file/{number:\\d{1,4}}", self._file),
        ]

    async def _list(self, _: web.Request) -> web.Response:
        found = (mailbox.read(self._folder, name) for name in mailbox.names(self._folder)[:_LISTED])
        return web.json_response({"messages": [_row(each) for each in found if each is not None]})

    async def _one(self, request: web.Request) -> web.Response:
        caught, message = self._find(request)
        parts = shown.files(message)
        return web.json_response(
            _row(caught)
            | {
                "headers": shown.summary(caught.octets),
                "text": shown.text(message),
                "html": bool(shown.html(message)),
                "files": [
                    {"name": part.name, "type": part.kind, "size": len(part.octets)}
                    for part in parts
                ],
            }
        )

    async def _html(self, request: web.Request) -> web.Response:
        _, message = self._find(request)
        return web.Response(
            text=shown.html(message),
            content_type="text/html",
            headers={"Content-Security-Policy": FRAMED, "X-Frame-Options": "SAMEORIGIN"},
        )

    async def _source(self, request: web.Request) -> web.Response:
        caught, _ = self._find(request)
        return web.Response(
            body=caught.octets, content_type="text/plain", charset="utf-8",
            headers={"Content-Security-Policy": FRAMED},
        )  # fmt: skip

    async def _file(self, request: web.Request) -> web.Response:
        _, message = self._find(request)
        parts, number = shown.files(message), int(request.match_info["number"])
        if number >= len(parts):
            raise web.HTTPNotFound(text="the message has no such file\n")
        name = quote(parts[number].name.replace("/", "_"), safe="")
        return web.Response(
            body=parts[number].octets,
            content_type="application/octet-stream",
            headers={
                hdrs.CONTENT_DISPOSITION: f"attachment; filename*=UTF-8''{name}",
                "Content-Security-Policy": FRAMED,
            },
        )

    def _find(self, request: web.Request) -> tuple[Caught, EmailMessage]:
        caught = mailbox.read(self._folder, request.match_info["name"])
        if caught is None:
            raise web.HTTPNotFound(text="there is no such message (any more)\n")
        return caught, shown.parsed(caught.octets)


def _row(caught: Caught) -> dict[str, object]:
    headers = shown.summary(caught.octets)
    return {
        "name": caught.name,
        "from": caught.mail_from,
        "to": list(caught.rcpt_to),
        "time": int(caught.received_at.timestamp() * 1000),
        "size": len(caught.octets),
        "subject": headers.get("Subject", ""),
        "message_id": headers.get("X-Mailproxy-Id", ""),
    }
