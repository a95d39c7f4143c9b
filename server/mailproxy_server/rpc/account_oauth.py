"""What an OAuth grant may be (RFC 6749). Pure. Refusals never repeat a secret."""

from urllib.parse import urlsplit

from mailproxy.v1 import account_pb2

from mailproxy_server.accounts.account import Grant, Oauth
from mailproxy_server.rpc.account_values import Checks, host, loopback, words

_URL = "required: the token endpoint, as https://login.example.com/oauth2/token"


def grant(value: account_pb2.OauthGrant | None) -> Grant | None:
    """A grant, or None for none."""
    if value is None:
        return None
    checks = Checks()
    checks.apply(".token_url", token_url, value.token_url)
    checks.apply(".client_id", _client_id, value.client_id)
    checks.apply(".client_secret", words(4096), value.client_secret)
    checks.apply(".refresh_token", words(8192), value.refresh_token)
    checks.apply(".scope", words(2048), value.scope)
    checks.refuse()
    oauth = Oauth(value.token_url, value.client_id, value.scope)
    return Grant(oauth, value.client_secret, value.refresh_token)


def token_url(value: str) -> str:
    """The address of a token endpoint (section 3.2): no fragment, and secrets go there by TLS."""
    words(2048)(value)
    try:
        parts = urlsplit(value)
        name, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("not a URL, as https://login.example.com/oauth2/token") from None
    if not value or not name or not value.isascii() or " " in value:
        raise ValueError(_URL)
    host(name)
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback(name)):
        raise ValueError("must begin with https:// (http:// is for endpoints on loopback)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password: they belong in client_id and secret")
    if "#" in value:
        raise ValueError("must not have a fragment (#)")
    return value


def _client_id(value: str) -> str:
    if not value:
        raise ValueError("required: the id under which the application is registered")
    return words(512)(value)
