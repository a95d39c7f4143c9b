"""Nothing is connected to that may not be, whatever name, redirect or answer leads there.

The judge is a listener: it counts who came.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from mailproxy_server.content.sources.asking import Asker, Question
from mailproxy_server.content.sources.resolver import Lookup
from mailproxy_server.content.sources.source import Patience, Unfetchable
from mailproxy_server.content.vetting import Egress

from tests.support.origin import Origin, redirect
from tests.unit.test_vetting_addresses import REFUSED as REFUSED_ADDRESSES
from tests.unit.test_vetting_urls import REFUSED as REFUSED_URLS

PATIENCE = Patience(connect=2, read=2, total=5)
LOOPBACK = Egress.of(["127.0.0.1/32"])


async def got(asker: Asker, url: str) -> bytes:
    async with asker.ask(Question(url)) as pieces:
        return b"".join([piece async for piece in pieces])


class Listener:
    """Counts connections to it on loopback, over IPv4 and IPv6."""

    def __init__(self) -> None:
        self.came = 0
        self.port = 0

    def take(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    one = Listener()
    server = await asyncio.start_server(one.take, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    second = await asyncio.start_server(one.take, "::1", one.port)
    async with server, second:
        yield one


def answering(*addresses: str) -> Lookup:
    """Give a look-up that answers so for every name."""

    async def lookup(host: str, port: int) -> Sequence[str]:
        return addresses

    return lookup


LITERAL = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::7f00:1]", "[64:ff9b::7f00:1]"]
SPELT = ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "0.0.0.0", "[::]", "[::1%25lo]"]


@pytest.mark.parametrize("host", LITERAL + SPELT)
async def test_an_address_in_the_url_is_judged(host: str, listener: Listener) -> None:
    with pytest.raises(Unfetchable) as raised:
        await got(Asker(Egress(), PATIENCE), f"http://{host}:{listener.port}/")
    assert not raised.value.passing
    assert listener.came == 0


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("8.8.8.8", "127.0.0.1"),
        ("127.0.0.1", "8.8.8.8"),
        ("64:ff9b::7f00:1",),
        ("2002:7f00:1::",),
        ("0.0.0.0",),
    ],
)
async def test_what_a_name_resolves_to_is_judged(
    addresses: tuple[str, ...], listener: Listener
) -> None:
    asker = Asker(Egress(), PATIENCE, answering(*addresses))
    with pytest.raises(Unfetchable, match="MAILPROXY_EGRESS_ALLOW"):
        await got(asker, f"http://public.test:{listener.port}/")
    assert listener.came == 0


async def test_the_system_says_where_localhost_is_and_it_is_refused(listener: Listener) -> None:
    with pytest.raises(Unfetchable, match="this host itself"):
        await got(Asker(Egress(), PATIENCE), f"http://localhost:{listener.port}/")
    assert listener.came == 0


async def test_a_name_that_flips_its_answer_is_connected_to_where_it_was_judged() -> None:
    """The first answer is allowed, every later one is the address to protect: whoever asks twice,
    once to judge and once to connect, connects to the second."""
    asked = 0

    async def flipping(host: str, port: int) -> Sequence[str]:
        nonlocal asked
        asked += 1
        return ("127.0.0.1",) if asked == 1 else ("127.0.0.2",)

    async with Origin({"/": b"public"}) as origin:
        asker = Asker(LOOPBACK, PATIENCE, flipping)
        assert await got(asker, f"http://flip.test:{origin.port}/") == b"public"
        assert asked == 1
        with pytest.raises(Unfetchable, match=r"127\.0\.0\.2"):
            await got(asker, f"http://flip.test:{origin.port}/")
        assert origin.asked.total() == 1


async def test_nothing_of_the_tables_is_connected_to(listener: Listener) -> None:
    asker, tried = Asker(Egress(), PATIENCE), 0
    for url in REFUSED_URLS:
        with pytest.raises(Unfetchable):
            await got(asker, url)
        tried += 1
    for address in REFUSED_ADDRESSES:
        named = Asker(Egress(), PATIENCE, answering(address))
        with pytest.raises(Unfetchable):
            await got(named, f"http://public.test:{listener.port}/")
        tried += 1
    assert tried >= 100
    assert listener.came == 0


TARGETS = [
    "http://[::1]:{port}/",
    "http://2130706433:{port}/",
    "http://localhost:{port}/",
    "//[::1]:{port}/",
    "http://user:pass@[::1]:{port}/",
    "file:///etc/passwd",
    "ftp://[::1]:{port}/",
    "gopher://[::1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "",
]


@pytest.mark.parametrize("target", TARGETS)
async def test_a_redirect_is_judged_again(target: str, listener: Listener) -> None:
    """The origin itself is allowed by its name; loopback is not."""
    async with Origin() as origin:
        origin.pages["/"] = redirect(target.format(port=listener.port))
        egress = Egress.of(["origin.test"])

        async def lookup(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.1"]

        asker = Asker(egress, PATIENCE, lookup)
        with pytest.raises(Unfetchable):
            await got(asker, f"http://origin.test:{origin.port}/")
        assert listener.came == 0


async def test_a_circle_of_redirects_ends() -> None:
    async with Origin() as origin:
        origin.pages["/"] = redirect("/")
        with pytest.raises(Unfetchable, match="more than 5 times"):
            await got(Asker(LOOPBACK, PATIENCE), origin.url("/"))
        assert origin.asked["/"] == 6


async def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
    async with Origin({"/a": b"direct"}) as origin:
        assert await got(Asker(LOOPBACK, PATIENCE), origin.url("/a")) == b"direct"
    assert listener.came == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_credentials_and_parameters_stay_with_their_origin(status: int) -> None:
    async with Origin({"/there": b"file"}) as other, Origin() as origin:
        origin.pages["/here"] = redirect(other.url("/there"), status)
        origin.pages["/same"] = redirect("/file", status)
        origin.pages["/file"] = b"own"
        asker = Asker(LOOPBACK, PATIENCE)
        for path, body in (("/here", b"file"), ("/same", b"own")):
            question = Question(origin.url(path), {"Authorization": "Bearer s3cret"}, b'{"a":1}')
            async with asker.ask(question) as pieces:
                assert b"".join([piece async for piece in pieces]) == body
        (across,) = other.requests
        assert "Authorization" not in across.headers
        assert other.bodies == [b""]
        own = [request for request in origin.requests if request.path == "/file"]
        assert [request.headers["Authorization"] for request in own] == ["Bearer s3cret"]
        assert "s3cret" not in repr(question)
