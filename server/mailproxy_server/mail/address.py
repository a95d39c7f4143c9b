"""Mail addresses: RFC 5321 section 4.1.2 with RFC 6531, in the one form that the queue uses.

The local part stays exactly as given; the domain becomes its lower-case A-label, so that
two spellings of one mailbox are one delivery.
"""

import ipaddress
import re
from functools import lru_cache

import idna

ADDRESS_LIMIT = 254
"""Octets of a whole address (RFC 5321 section 4.5.3.1.3: a path of 256 with its brackets)."""
LOCAL_LIMIT = 64
"""Octets of a local part (section 4.5.3.1.1)."""

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*\Z")
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~\u00a0-\U0010ffff]|\\[ -~])*"\Z')
_LABEL = r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?"
_LDH_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_PLAIN = re.compile(rf"([A-Za-z0-9!#$%&'*+/=?^_`{{|}}~\-.]{{1,64}})@((?:{_LABEL}\.)+{_LABEL})\Z")
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\xa0\u1680\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
    r"\ud800-\udfff]"
)


class AddressInvalid(ValueError):
    """The text is not one address; the message says what is wrong and is fit for a caller."""


@lru_cache(maxsize=8192)
def normalize(text: str) -> str:
    """Give the address in its normal form, or raise `AddressInvalid`."""
    if len(text) > ADDRESS_LIMIT:
        raise AddressInvalid(f"the address is longer than {ADDRESS_LIMIT} octets")
    plain = _PLAIN.match(text)
    if plain and _DOT_ATOM.match(plain[1]) and "=?" not in text and "xn--" not in text:
        return text
    return _normalize_unusual(text)


def domain_of(address: str) -> str:
    """Give the domain of an address in normal form."""
    return address[address.rindex("@") + 1 :]


def _normalize_unusual(text: str) -> str:
    if not text:
        raise AddressInvalid("an address is required, as ann@example.com")
    if _UNSAFE.search(text):
        raise AddressInvalid(
            "control characters, line breaks and invisible characters are not allowed in an address"
        )
    if "=?" in text:
        raise AddressInvalid(
            "an encoded-word (=?) is not allowed in an address; give it in plain Unicode (RFC 6531)"
        )
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise AddressInvalid("an address needs a local part, an @ and a domain: ann@example.com")
    if not (_DOT_ATOM.match(local) or _QUOTED.match(local)):
        raise AddressInvalid(
            "the part before the @ is not one mailbox (RFC 5321); give one bare address "
            "a field, without a name, a comma or a space"
        )
    if len(local.encode()) > LOCAL_LIMIT:
        raise AddressInvalid(f"the part before the @ is longer than {LOCAL_LIMIT} octets")
    address = f"{local}@{_normalize_domain(domain)}"
    if len(address.encode()) > ADDRESS_LIMIT:
        raise AddressInvalid(f"the address is longer than {ADDRESS_LIMIT} octets")
    return address


def _normalize_domain(domain: str) -> str:
    if domain.startswith("[") and domain.endswith("]"):
        return _normalize_literal(domain[1:-1])
    if _LDH_DOMAIN.match(domain.lower()) and "xn--" not in domain.lower():
        return _bounded(domain.lower())
    try:
        return _bounded(idna.encode(domain, uts46=True).decode("ascii").lower())
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressInvalid(f"the domain is not valid (IDNA 2008): {error}") from None


def _bounded(domain: str) -> str:
    if len(domain) > 253 or not _LDH_DOMAIN.match(domain):
        raise AddressInvalid("the domain is not valid: labels of letters, digits and hyphens")
    return domain


def _normalize_literal(inner: str) -> str:
    """Address literals, RFC 5321 section 4.1.3."""
    try:
        if inner.lower().startswith("ipv6:"):
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        raise AddressInvalid("the address literal is neither [IPv4] nor [IPv6:...]") from None
