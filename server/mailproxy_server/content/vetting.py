"""May this address, URL or path be touched for an attachment? Pure.

What a message names is chosen by whoever wrote the message, so it must not lead into the
operator's network or file system: only to public addresses, and to what the operator allows
(`Egress`). Names are judged by what they resolve to, on every connection anew.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import idna

URL_LIMIT: Final = 4096
PATH_LIMIT: Final = 4096

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]*))*\Z", re.IGNORECASE)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z", re.IGNORECASE)
_ODD = re.compile(r"[\x00-\x20\x7f-\x9f\\\u2028\u2029]")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ODD_NETWORKS = tuple(
    ipaddress.IPv6Network(text)
    for text in ("64:ff9b:1::/48", "2001::/23", "fec0::/10", "5f00::/16", "100::/64")
)
"""NAT64 of one's own (RFC 8215), protocol assignments with Teredo (RFC 2928), site-local (RFC
3879), SRv6 (RFC 9602) and discard (RFC 6666): Python's own judgement of them depends on its age."""


class Refused(ValueError):
    """It must not be touched; the text says why, and what would allow it."""


@dataclass(frozen=True, slots=True)
class Egress:
    """What is allowed although it is not public: networks, and hosts wherever they resolve to."""

    networks: tuple[_Network, ...] = ()
    hosts: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, allowed: Sequence[str]) -> "Egress":
        """Read a list of networks and host names."""
        networks, hosts = [], set()
        for text in allowed:
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError:
                hosts.add(text.rstrip(".").lower())
        return cls(tuple(networks), frozenset(hosts))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads: `url` is as it is asked for, `host` in ASCII and lower case."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> str:
        """Give "https://host:port"."""
        return f"{self.scheme}://{self.host}:{self.port}"


def vet_url(url: str) -> Place:
    """Give where a URL leads; raise `Refused` for one that is none, or is not a plain one."""
    if len(url) > URL_LIMIT:
        raise Refused(f"the URL has {len(url):,} characters; at most {URL_LIMIT:,}")
    if _ODD.search(url):
        raise Refused("the URL has a space, a control character or a backslash; encode it (%20)")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused("this is not a URL, as https://example.com/report.pdf") from None
    if parts.scheme not in ("http", "https"):
        raise Refused("the URL must begin with https:// or http://")
    if "@" in parts.netloc:
        raise Refused("the URL holds credentials; name one of the account's endpoints instead")
    if port == 0:
        raise Refused("the URL's port is 0")
    host, usual = _host(parts), 443 if parts.scheme == "https" else 80
    netloc = f"[{host}]" if ":" in host else host
    if port not in (None, usual):
        netloc = f"{netloc}:{port}"
    # With the host as it was understood here: whoever connects must not understand another.
    plain = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
    return Place(plain, parts.scheme, host, port or usual)


def vet_address(host: str, address: str, egress: Egress) -> None:
    """Raise `Refused` unless `address`, which `host` resolved to, may be connected to."""
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise Refused(f"{host} resolved to something that is no address") from None
    if host.rstrip(".").lower() in egress.hosts:
        return
    meant = embedded(given)
    if any(one in network for one in {given, meant} for network in egress.networks):
        return
    flaw = _flaw(meant)
    if flaw:
        raise Refused(
            f"{host} leads to {given}, {flaw}; the operator may allow it (MAILPROXY_EGRESS_ALLOW)"
        )


def vet_redirect(source: Place, location: str) -> Place:
    """Give where a redirect leads; raise `Refused` if it must not be followed."""
    target = vet_url(urljoin(source.url, location))
    if source.scheme == "https" and target.scheme == "http":
        raise Refused("a redirect from https to http is not followed")
    return target


def vet_path(path: str, roots: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Give the root that a path lies below, and the names on the way down from it.

    Judges the text alone; whoever opens it follows no link on the way. Raises `Refused`.
    """
    flaw = path_flaw(path)
    if flaw:
        raise Refused(flaw)
    for root in sorted(roots, key=len, reverse=True):
        base = root.rstrip("/") + "/"
        if path.startswith(base):
            names = tuple(path[len(base) :].split("/"))
            if all(names):
                return root, names
            break
    raise Refused(
        "the path is below none of the server's attachment roots (MAILPROXY_ATTACHMENT_ROOTS)"
        if roots
        else "this server reads no files: it has no MAILPROXY_ATTACHMENT_ROOTS"
    )


def path_flaw(path: str) -> str | None:
    """Give what is wrong with the text of a path, or None."""
    if len(path) > PATH_LIMIT:
        return f"has {len(path):,} characters; at most {PATH_LIMIT:,}"
    if not path.startswith("/"):
        return "is not an absolute path"
    if not path.isprintable():
        return "has a control character"
    names = path.split("/")[1:]
    if any(name in ("", ".", "..") for name in names):
        return "is not a plain path of a file: it has an empty name, `.` or `..`"
    return None


def embedded(address: Address) -> Address:
    """Give the IPv4 address that an IPv6 address stands for, or the address itself.

    Mapped and compatible (RFC 4291 section 2.5.5), NAT64 (RFC 6052), 6to4 (RFC 3056).
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _flaw(address: Address) -> str | None:
    if address.is_loopback:
        return "this host itself"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    odd = isinstance(address, ipaddress.IPv6Address) and any(address in n for n in _ODD_NETWORKS)
    if odd or not address.is_global or address.is_reserved:
        return "not a public address"
    return None


def _host(parts: SplitResult) -> str:
    """Give the host in ASCII; an address only as it is written usually, or inet_aton's liberties
    (octal, hexadecimal, one number) would name another than a reader sees."""
    host = (parts.hostname or "").rstrip(".")
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host.replace("%", "/")))  # no zone (RFC 6874)
        except ValueError:
            raise Refused("the URL's host is not an IPv6 address") from None
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        pass
    if _NUMERIC.match(host):
        raise Refused("the URL's host is a number in disguise; write an address as 192.0.2.1")
    try:
        ascii_host = host if host.isascii() else idna.encode(host).decode()
    except idna.IDNAError:
        raise Refused("the URL's host is not a host name") from None
    labels = ascii_host.split(".")
    if len(ascii_host) > 253 or not all(_LABEL.match(label) for label in labels):
        raise Refused("the URL's host is not a host name")
    if _NUMERIC.match(labels[-1]):
        raise Refused("the URL's host is a number in disguise; write an address as 192.0.2.1")
    return ascii_host.lower()
