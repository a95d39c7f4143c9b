"""Builds the route of an account: what its mail goes out by, with its secrets opened."""

from mailproxy_server.accounts.account import Account, Secrets
from mailproxy_server.content.dkim import Signature
from mailproxy_server.content.dkim_keys import read_key
from mailproxy_server.content.sources.endpoint import Target
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.smtp.pool import Pool


def route(account: Account, secrets: Secrets, pool: Pool) -> Route:
    """Give the route of an account by this pool."""
    signatures = [
        Signature(key.domain, key.selector, read_key(secrets.dkim_keys[key.place]))
        for key in account.dkim_keys
    ]
    endpoints = {
        one.name: Target(
            one.url,
            one.auth,
            one.username,
            one.header_name,
            secrets.attachment_endpoints.get(one.place, ""),
        )
        for one in account.attachment_endpoints
    }
    return Route(account, pool, signatures, endpoints)
