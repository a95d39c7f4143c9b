"""Builds what fetches attachments: the sources that there are, and their limits."""

from collections.abc import Mapping
from uuid import UUID

from mailproxy_server.content.sources.asking import Asker
from mailproxy_server.content.sources.endpoint import Endpoints
from mailproxy_server.content.sources.filesystem import Filesystem
from mailproxy_server.content.sources.http_url import HttpUrl
from mailproxy_server.content.sources.resolver import Lookup
from mailproxy_server.content.sources.source import Patience, Source
from mailproxy_server.content.vetting import Egress
from mailproxy_server.dispatcher.files import Files, Limits
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.queue.hot import Pool
from mailproxy_server.settings import Settings


def files(settings: Settings, pool: Pool, worker_id: UUID, lookup: Lookup) -> Files:
    """Give what brings files, for the worker of this id."""
    patience = Patience(
        settings.fetch_connect_seconds, settings.fetch_read_seconds, settings.fetch_total_seconds
    )
    egress = Egress.of(settings.egress_allow)
    asker = Asker(egress, patience, lookup, settings.max_attachment_bytes)
    sources: Mapping[str, Source] = {
        "http_url": HttpUrl(asker),
        "filesystem": Filesystem([str(root) for root in settings.attachment_roots]),
    }
    limits = Limits(
        settings.max_attachment_bytes,
        settings.max_attachments_bytes,
        settings.spool_memory_bytes,
        settings.fetch_concurrency,
    )

    def of(route: Route) -> Mapping[str, Source]:
        return {**sources, "endpoint": Endpoints(asker, route.endpoints)}

    return Files(pool, worker_id, of, limits)
