"""GET /api/events: what happens to a tenant's mail, pushed once a second (server-sent events)."""

import asyncio
import json
import time

from aiohttp import web

from mailproxy_server.web.flow import Row
from mailproxy_server.web.tenants import TenantChoice
from mailproxy_server.web.watcher import Watched, Watcher

VIEWERS = 50
"""Streams that one server keeps open for pages."""
_EVERY_SECONDS = 1.0


class Events:
    """The streams of one server."""

    def __init__(self, watcher: Watcher, choice: TenantChoice) -> None:
        self._watcher = watcher
        self._choice = choice
        self._open = 0

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Stream until the page is closed."""
        tenant_id = await self._choice.of(request)
        if self._open >= VIEWERS:
            raise web.HTTPServiceUnavailable(text=f"{VIEWERS} pages are open already\n")
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream", "cache-control": "no-store"}
        )
        self._open += 1
        try:
            async with self._watcher.watching(tenant_id) as watched:
                await response.prepare(request)
                await self._stream(response, watched)
        except (ConnectionResetError, asyncio.CancelledError):
            pass  # the page was closed, or the server ends
        finally:
            self._open -= 1
        return response

    async def _stream(self, response: web.StreamResponse, watched: Watched) -> None:
        given: dict[int, Row] = {}
        offset = 0
        while True:
            failures = watched.flow.failures(offset)
            offset = failures[-1]["offset"] if failures else offset
            rows = [row for row in watched.flow.rows() if given.get(row[0]) is not row]
            given |= {row[0]: row for row in rows}
            told = {
                "now": time.time(),
                "rows": rows,
                "queue": watched.queue,
                "failures": failures,
            }
            text = json.dumps(told, separators=(",", ":"), ensure_ascii=True)
            await response.write(f"data: {text}\n\n".encode())
            await asyncio.sleep(_EVERY_SECONDS)
