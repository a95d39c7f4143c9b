"""What this host calls itself to relays whose account names nothing (RFC 5321 section 4.1.1.1)."""

import ipaddress
import re
import socket
from functools import cache

_FULL_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251})\.[A-Za-z0-9\-]+\Z")

_NOWHERE = ("192.0.2.1", 9)  # RFC 5737; only its route is looked up, nothing is sent


@cache
def own_name() -> str:
    """Give this host's name when it has a domain, else its address as a literal."""
    name = socket.gethostname()
    if _FULL_NAME.match(name):
        return name
    return literal(_address())


def literal(address: str) -> str:
    """Give an address as an address literal (section 4.1.3)."""
    version = "IPv6:" if ipaddress.ip_address(address).version == 6 else ""
    return f"[{version}{address}]"


def _address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_NOWHERE)
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address
