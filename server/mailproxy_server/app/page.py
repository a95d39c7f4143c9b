"""Builds the live page of a front: what it shows, and through which servicers it acts."""

from importlib.metadata import version

from aiohttp.web import AbstractRouteDef

from mailproxy_server.app.datadir import locate
from mailproxy_server.queue.hot import Pool
from mailproxy_server.reports.tail import Tail
from mailproxy_server.rpc.inside import Inside
from mailproxy_server.rpc.registry import Registry
from mailproxy_server.settings import Settings
from mailproxy_server.web.events import Events
from mailproxy_server.web.guard import Guard
from mailproxy_server.web.inbox import InboxPage
from mailproxy_server.web.mailbox import FOLDER
from mailproxy_server.web.page import Page
from mailproxy_server.web.tenants import TenantChoice
from mailproxy_server.web.watcher import Watcher


def routes(
    settings: Settings, guard: Guard, pool: Pool, tail: Tail, registry: Registry
) -> list[AbstractRouteDef]:
    """Give the routes of the page, and of the demo's inbox where the demo runs."""
    choice = TenantChoice(pool)
    about = {
        "version": version("mailproxy-server"),
        "trace_url": settings.trace_url,
        "inbox": settings.demo,
        "signed_in": bool(guard.token),
    }
    page = Page(guard, Inside(registry).call, choice, Events(Watcher(pool, tail), choice), about)
    found = page.routes()
    if settings.demo:
        found += InboxPage(locate(settings.data_dir) / FOLDER).routes()
    return found
