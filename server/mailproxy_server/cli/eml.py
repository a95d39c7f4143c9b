"""A message from a file: its line ends, and the recipients that its headers name. Pure."""

import re
from email import policy
from email.parser import BytesHeaderParser

from mailproxy_server.cli.output import clean

_BARE = re.compile(rb"\r\n|\r|\n")


def with_crlf(octets: bytes) -> bytes:
    """Give the message with the line ends that RFC 5322 section 2.1 asks for."""
    return _BARE.sub(b"\r\n", octets)


def recipients_of(octets: bytes) -> list[str]:
    """Give the addresses of To, Cc and Bcc, each once, in their order.

    Raises ValueError for a header that Python's parser cannot read.
    """
    headers = BytesHeaderParser(policy=policy.default).parsebytes(octets)
    found: dict[str, None] = {}
    for name in ("To", "Cc", "Bcc"):
        try:
            addresses = [each for value in headers.get_all(name, []) for each in value.addresses]
        except Exception:  # Python's parser stumbles in many ways: IndexError, AttributeError, …
            raise ValueError(f"its {name} cannot be read; give --to") from None
        found.update({clean(each.addr_spec): None for each in addresses if each.domain})
    return list(found)
