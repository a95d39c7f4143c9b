"""Which URLs are taken, and what they are understood to be."""

import pytest
from mailproxy_server.content.vetting import Refused, vet_redirect, vet_url

REFUSED = {
    "": "must begin",
    "report.pdf": "must begin",
    "//host.test/a": "must begin",
    "ftp://host.test/a": "must begin",
    "file:///etc/passwd": "must begin",
    "gopher://127.0.0.1:25/_MAIL": "must begin",
    "data:text/plain,hi": "must begin",
    "javascript:alert(1)": "must begin",
    "http://": "not a host name",
    "http:///etc/passwd": "not a host name",
    "http://user@host.test/": "credentials",
    "http://user:pass@host.test/": "credentials",
    "http://public.test@127.0.0.1/": "credentials",
    "http://127.0.0.1@public.test/": "credentials",
    "http://host.test:0/": "port is 0",
    "http://host.test:99999/": "not a URL",
    "http://host.test:abc/": "not a URL",
    "http://2130706433/": "in disguise",
    "http://0x7f000001/": "in disguise",
    "http://0x7f.0.0.1/": "in disguise",
    "http://0177.0.0.1/": "in disguise",
    "http://017700000001/": "in disguise",
    "http://127.1/": "in disguise",
    "http://127.0.1/": "in disguise",
    "http://1/": "in disguise",
    "http://0/": "in disguise",
    "http://256.256.256.256/": "in disguise",
    "http://127.0.0.1.5/": "in disguise",
    "http://a.127.0.0.0x1/": "in disguise",
    "http://host.test/a b": "space",
    "http://host.test/a\tb": "space",
    "http://host.test/\r\nHost: other": "space",
    "http://host.test\\@127.0.0.1/": "backslash",
    "http://host.test/\x00": "control",
    "http://host.test/\u2028": "control",
    "http://[::1": "not a URL",
    "http://[::1%25lo]/": "IPv6",
    "http://[1::2::3]/": "not a URL|IPv6",
    "http://host..test/": "not a host name",
    "http://-host.test/": "not a host name",
    "http://ho$t.test/": "not a host name",
    "http://%6c%6fcalhost/": "not a host name",
    "http://ⓛocalhost/": "not a host name",
    "http://１２７.0.0.1/": "not a host name",
    "http://127。0。0。1/": "not a host name|in disguise",
    "http://" + "a" * 64 + ".test/": "not a host name",
    "http://" + "a." * 130 + "test/": "not a host name",
    "http://host.test/" + "a" * 4096: "characters",
}


@pytest.mark.parametrize(("url", "why"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_not_a_plain_url_is_refused(url: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        vet_url(url)


@pytest.mark.parametrize(
    ("url", "asked", "host", "port"),
    [
        ("http://host.test", "http://host.test/", "host.test", 80),
        ("https://HOST.test./a?b=c#d", "https://host.test/a?b=c", "host.test", 443),
        ("https://host.test:443/", "https://host.test/", "host.test", 443),
        ("http://host.test:8080/x", "http://host.test:8080/x", "host.test", 8080),
        ("http://192.0.2.1/", "http://192.0.2.1/", "192.0.2.1", 80),
        ("http://[2001:DB8::1]:81/", "http://[2001:db8::1]:81/", "2001:db8::1", 81),
        ("http://bücher.test/ä", "http://xn--bcher-kva.test/ä", "xn--bcher-kva.test", 80),
    ],
)
def test_a_url_is_asked_for_as_it_was_understood(
    url: str, asked: str, host: str, port: int
) -> None:
    place = vet_url(url)
    assert (place.url, place.host, place.port) == (asked, host, port)


def test_a_redirect_is_judged_as_a_url_is() -> None:
    source = vet_url("https://host.test/a/b")
    assert vet_redirect(source, "../c").url == "https://host.test/c"
    assert vet_redirect(source, "//other.test/d").url == "https://other.test/d"
    for location in (
        "http://host.test/",
        "file:///etc/passwd",
        "https://u:p@host.test/",
        "http://1/",
    ):
        with pytest.raises(Refused):
            vet_redirect(source, location)
