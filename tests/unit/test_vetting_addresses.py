"""Which addresses may be connected to: a table of what attackers and mistakes come up with."""

import ipaddress

import pytest
from mailproxy_server.content.vetting import Egress, Refused, embedded, vet_address

NOBODY = Egress()

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255",
    "127.0.0.1", "127.1.2.3", "127.255.255.255", "169.254.0.1", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1", "192.168.255.255",
    "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::127.0.0.1", "::10.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "::ffff:0:0", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254", "64:ff9b:1::1", "64:ff9b:1:ffff::8.8.8.8", "2002:7f00:1::",
    "2002:a00:1::1", "2002:a9fe:a9fe::", "2002:c0a8:101::", "2001::1", "2001:0:7f00:1::",
    "2001:db8::1", "2001:10::1", "fc00::1", "fd00::1", "fdff:ffff::1", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "ff0e::1", "100::1", "5f00::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1",
    "2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
    "2002:808:808::1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(Refused, match=r"host\.test leads to"):
        vet_address("host.test", address, NOBODY)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_may_be_asked(address: str) -> None:
    vet_address("host.test", address, NOBODY)


@pytest.mark.parametrize(
    ("allowed", "address", "passes"),
    [
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.0.0/16", "10.2.0.1", False),
        ("10.1.0.0/16", "::ffff:10.1.2.3", True),
        ("10.1.0.0/16", "64:ff9b::10.1.2.3", True),
        ("::1/128", "::1", True),
        ("::1/128", "127.0.0.1", False),
        ("127.0.0.0/8", "::1", False),
        ("fd00:1::/32", "fd00:1::9", True),
        ("files.internal", "10.9.9.9", True),
        ("FILES.internal.", "10.9.9.9", True),
        ("other.internal", "10.9.9.9", False),
    ],
)
def test_an_allow_list_lets_through_what_it_names(allowed: str, address: str, passes: bool) -> None:
    egress = Egress.of([allowed])
    if passes:
        vet_address("files.internal", address, egress)
    else:
        with pytest.raises(Refused):
            vet_address("files.internal", address, egress)


def test_what_is_no_address_is_refused() -> None:
    for text in ("", "localhost", "127.1", "0x7f.1", "1.2.3.4.5", "::g"):
        with pytest.raises(Refused):
            vet_address("host.test", text, NOBODY)


def test_the_address_inside_another_is_found() -> None:
    for outer, inner in (
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::1.2.3.4", "1.2.3.4"),
        ("64:ff9b::102:304", "1.2.3.4"),
        ("2002:102:304::", "1.2.3.4"),
        ("::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
    ):
        assert embedded(ipaddress.ip_address(outer)) == ipaddress.ip_address(inner)
