"""Asks an HTTP server for a file: each hop judged, every answer bounded, nothing held whole."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from mailproxy_server.content.sources.folded import unfolded
from mailproxy_server.content.sources.resolver import (
    Lookup,
    NotAllowed,
    VettingResolver,
    system_lookup,
)
from mailproxy_server.content.sources.source import PIECE, Patience, Unfetchable
from mailproxy_server.content.vetting import (
    Egress,
    Place,
    Refused,
    vet_address,
    vet_redirect,
    vet_url,
)

HOPS = 5
"""Redirects that are followed."""
_PACKING = 64 * 1024
"""Octets by which a packed answer may be longer than what is in it."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 409, 423, 425, 429})
_USUAL = {"User-Agent": "mailproxy", "Accept": "*/*", "Accept-Encoding": "gzip, deflate, identity"}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a body makes it a POST. `secret` headers go to the first origin only."""

    url: str
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


class Asker:
    """Asks by connections of its own, none of which is kept: who answers is vetted each time.

    Of an answer at most `most` octets are taken as they are sent, packed or not.
    """

    def __init__(
        self,
        egress: Egress,
        patience: Patience,
        lookup: Lookup = system_lookup,
        most: int = 25 * 2**20,
    ) -> None:
        self._egress = egress
        self._patience = patience
        self._most = most
        self._lookup = lookup

    @asynccontextmanager
    async def ask(self, question: Question) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give the pieces of the answer's body, unpacked. Raises `Unfetchable`."""
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=self._patience.connect, sock_read=self._patience.read
        )
        connector = aiohttp.TCPConnector(
            resolver=VettingResolver(self._egress, self._lookup),
            use_dns_cache=False,
            force_close=True,
        )
        try:
            async with (
                asyncio.timeout(self._patience.total),
                aiohttp.ClientSession(
                    connector=connector,
                    timeout=limits,
                    auto_decompress=False,
                    trust_env=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                ) as session,
                await self._follow(session, question) as answer,
            ):
                yield _pieces(answer, self._most + _PACKING)
        except Refused as refused:
            raise Unfetchable(str(refused)) from None
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise _fault(error) from None

    async def _follow(
        self, session: aiohttp.ClientSession, question: Question
    ) -> aiohttp.ClientResponse:
        place = first = vet_url(question.url)
        body = question.body
        for _ in range(HOPS + 1):
            self._vet_literal(place)
            answer = await session.request(
                "GET" if body is None else "POST",
                place.url,
                data=body,
                headers=_USUAL | _headers(question, body, same=place.origin == first.origin),
                allow_redirects=False,
            )
            if answer.status not in _REDIRECTS:
                return _accepted(answer)
            answer.close()
            place = vet_redirect(place, answer.headers.get("Location", ""))
            if place.origin != first.origin or answer.status not in (307, 308):
                body = None  # what is in it was meant for the first origin alone
        raise Refused(f"it was redirected more than {HOPS} times")

    def _vet_literal(self, place: Place) -> None:
        """Judge a host that is an address already: no resolver is asked for it."""
        if ":" in place.host or place.host.replace(".", "").isdigit():
            vet_address(place.host, place.host, self._egress)


def _headers(question: Question, body: bytes | None, *, same: bool) -> dict[str, str]:
    own = dict(question.secret) if same else {}
    return own | {"Content-Type": "application/json"} if body is not None else own


def _accepted(answer: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    if answer.status == 200:
        return answer
    answer.close()
    passing = answer.status in _PASSING or answer.status >= 500
    raise Unfetchable(f"the server answered {answer.status}", passing=passing)


async def _pieces(answer: aiohttp.ClientResponse, most: int) -> AsyncIterator[bytes]:
    """Give the body; an answer that breaks off is a fault, not an end."""
    coding = answer.headers.get("Content-Encoding", "").strip().lower()
    async for piece in unfolded(_bounded(answer, most), coding):
        yield piece


async def _bounded(answer: aiohttp.ClientResponse, most: int) -> AsyncIterator[bytes]:
    """Give what is sent: packed, an answer that never ends may unpack to nothing at all."""
    taken = 0
    async for piece in answer.content.iter_chunked(PIECE):
        taken += len(piece)
        if taken > most:
            raise Unfetchable(f"its server sends more than {most} bytes")
        yield piece


def _fault(error: BaseException) -> Unfetchable:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NotAllowed):
            return Unfetchable(str(cause))
        cause = cause.__cause__ or (cause.__context__ if cause.__context__ is not error else None)
    if isinstance(error, TimeoutError):
        return Unfetchable("its server did not answer in time", passing=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Unfetchable("the certificate of its server was not accepted", passing=True)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unfetchable("its host name does not resolve", passing=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unfetchable("its server cannot be connected to", passing=True)
    if isinstance(error, aiohttp.InvalidURL):
        return Unfetchable("its URL is not one")
    return Unfetchable("its server broke off or did not answer in HTTP", passing=True)
