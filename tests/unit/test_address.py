"""The normal form of an address, and what is none."""

import pytest
from mailproxy_server.mail.address import AddressInvalid, domain_of, normalize


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann.Lee+tag@EXAMPLE.Com", "Ann.Lee+tag@example.com"),
        ("ann@localhost", "ann@localhost"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@XN--bcher-KVA.example", "ann@xn--bcher-kva.example"),
        ("ann@faß.de", "ann@xn--fa-hia.de"),
        ("jürgen@example.com", "jürgen@example.com"),
        ('"ann lee"@example.com', '"ann lee"@example.com'),
        ('"a\\"b@c"@example.com', '"a\\"b@c"@example.com'),
        ("ann@[192.0.2.1]", "ann@[192.0.2.1]"),
        ("ann@[IPv6:2001:DB8::0]", "ann@[IPv6:2001:db8::]"),
        ("a" * 64 + "@b.test", "a" * 64 + "@b.test"),
        ("!#$%&'*+-/?=^_`{|}~@b.test", "!#$%&'*+-/?=^_`{|}~@b.test"),
    ],
)
def test_the_local_part_stays_and_the_domain_becomes_a_label(given: str, normal: str) -> None:
    assert normalize(given) == normal
    assert normalize(normal) == normal


@pytest.mark.parametrize(
    "given",
    [
        *("", "ann", "@example.com", "ann@", "ann@@example.com", "ann@example..com", "ann@.com"),
        *(".ann@example.com", "ann.@example.com", "a..b@example.com", "a b@example.com"),
        *("x, a@b.test", "a@b.test,c@d.test", "<a@b.test>", "Ann <a@b.test>", "a@b.test>"),
        *("a@b.test\r\n", "a\n@b.test", "a\0@b.test", "a\x85@b.test", "a\u2028@b.test"),
        *("a\u00a0b@c.test", "a\u3000b@c.test", "a\u200bb@c.test", "a\u202eb@c.test"),
        *("=?utf-8?q?a=0D=0A?=@b.test", "a=?utf-8?q?b?=@c.test"),
        *("a@b_c.test", "a@-b.test", "a@b-.test", "a@b.test.", "a@b test", "a@b.test/c"),
        *("a@[1.2.3]", "a@[IPv6:1.2.3.4]", "a@[IPv6::::]", "a@[x-tag:y]", "a@[1.2.3.4"),
        *('"a@b.test', 'a"b"@c.test', '"a\nb"@c.test', '"a"b"@c.test'),
        *("a" * 65 + "@b.test", "ü" * 33 + "@b.test", "a@" + "b" * 64 + ".test"),
        *("a@" + "b." * 125 + "test", "a" * 1_000_000 + "@b.test", "a@" + "ü." * 100_000),
        *("a@xn--a.test", "a@\u0378.test", "a@\u200d.test"),
    ],
)
def test_what_is_not_one_address_is_refused(given: str) -> None:
    with pytest.raises(AddressInvalid):
        normalize(given)


def test_the_domain_follows_the_last_at() -> None:
    assert domain_of('"a@b"@example.com') == "example.com"
