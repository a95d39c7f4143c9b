"""Posts to a token endpoint. TLS is verified by the system's authorities; no redirect is followed,
and no proxy of the environment is used, which would be somebody else who gets the secrets."""

from urllib.parse import urlsplit

import aiohttp

from mailproxy_server.mail.transcript import Fault, FaultKind
from mailproxy_server.smtp.grant import Issued, form, judge
from mailproxy_server.smtp.relay import OauthGrant

TIMEOUT = 30.0
"""Seconds for everything, from the look-up of the name to the last octet."""
RESPONSE_LIMIT = 256 * 1024
"""Octets. Tokens have a few thousand."""

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


async def ask(grant: OauthGrant, timeout: float = TIMEOUT) -> Issued | Fault:
    """Ask for a token. An AUTH fault needs an operator; any other one may pass by itself."""
    where = urlsplit(grant.token_url).netloc
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=timeout),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                headers=_HEADERS,
            ) as session,
            session.post(grant.token_url, data=form(grant), allow_redirects=False) as response,
        ):
            return judge(where, response.status, await _body(response))
    except TimeoutError:
        return Fault(FaultKind.TIMEOUT, f"no answer in time from the token endpoint {where}")
    except aiohttp.ClientSSLError:
        return Fault(FaultKind.TLS, f"TLS with the token endpoint {where} failed")
    except (aiohttp.ClientError, OSError, ValueError):
        return Fault(FaultKind.UNREACHABLE, f"no connection to the token endpoint {where}")


async def _body(response: aiohttp.ClientResponse) -> bytes | None:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > RESPONSE_LIMIT:
            return None
    return bytes(body)
