"""Finished messages: what they must be like, what is taken out, what is added.

Works on octets as given, and never rewrites a line that it keeps, so that signatures stay valid.
"""

import re
from typing import Final

from mailproxy_server.content import transfer
from mailproxy_server.mail.address import AddressInvalid, domain_of, normalize

_FALLBACK_DOMAIN: Final = "mailproxy.invalid"

_FROM_LIMIT: Final = 8192

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_NO_FIELD = re.compile(rb"^(?![ \t]|[!-9;-~]++[ \t]*:|\Z)", re.MULTILINE)
_REMOVED = re.compile(
    rb"^(?:Bcc|Resent-Bcc|Return-Path)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*+(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_FROM = re.compile(rb"^From[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*+)", re.IGNORECASE | re.MULTILINE)
_DATE = re.compile(rb"^Date[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(rb"^Message-ID[ \t]*:", re.IGNORECASE | re.MULTILINE)
_QUOTED_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"(?!@)|\((?:[^()\\]|\\.)*\)')
_ANGLE = re.compile(r"<([^<>]*)>\s*\Z")


def flaw(octets: bytes) -> str | None:
    """Give the first thing that makes the octets unfit to send, with its offset, or None."""
    if not octets:
        return "is empty; give a whole message, or use composed"
    if not octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r"):
        bare = _BARE.search(octets)
        at = bare.start() if bare else 0
        return f"has a bare CR or LF at offset {at}; lines must end with CRLF"
    nul = octets.find(b"\0")
    if nul >= 0:
        return f"has a NUL at offset {nul}; encode binary content (base64)"
    long = transfer.long_line(octets)
    if long is not None:
        return (
            f"has a line longer than {transfer.LINE_LIMIT} octets at offset {long}; fold it or "
            "encode it (quoted-printable, base64)"
        )
    return _header_flaw(head_of(octets))


def _header_flaw(head: bytes) -> str | None:
    eight_bit = None if head.isascii() else _EIGHT_BIT.search(head)
    if eight_bit:
        return f"has an 8-bit header at offset {eight_bit.start()}; encode it (RFC 2047)"
    odd = 0 if head.startswith((b" ", b"\t")) else _start(_NO_FIELD.search(head))
    if odd is not None:
        return (
            f"has a line at offset {odd} that is no header field; headers are "
            '"Name: value" up to the first empty line'
        )
    found = len(_FROM.findall(head))
    if found != 1:
        return "has no From header" if not found else "has more than one From header"
    return None


def _start(match: re.Match[bytes] | None) -> int | None:
    return match.start() if match else None


def head_of(octets: bytes) -> bytes:
    """Give the header lines with their line ends, without the empty line."""
    if octets.startswith(b"\r\n"):
        return b""
    end = octets.find(b"\r\n\r\n")
    if end >= 0:
        return octets[: end + 2]
    return octets if octets.endswith(b"\r\n") else octets + b"\r\n"


def sender(octets: bytes) -> str:
    """Give the address that From names, in normal form, or "" if it is not exactly one."""
    found = _FROM.search(head_of(octets))
    if not found or len(found[1]) > _FROM_LIMIT:
        return ""
    value = _QUOTED_OR_COMMENT.sub("", found[1].decode("ascii", "replace")).strip()
    angle = _ANGLE.search(value)
    try:
        return normalize((angle[1] if angle else value).strip()) if value.count("<") < 2 else ""
    except AddressInvalid:
        return ""


def strip(octets: bytes) -> bytes:
    """Take out Bcc, Resent-Bcc and Return-Path with their continuation lines."""
    head = head_of(octets)
    if not _REMOVED.search(head):
        return octets
    return _REMOVED.sub(b"", head) + octets[len(head) :]


def complete(octets: bytes, message_id: str, date: str) -> tuple[bytes, bool]:
    """Give the octets to send, and whether their body is 8-bit.

    A missing Date or Message-ID goes on top; a line end goes to the end where there is none.
    """
    octets = strip(octets)
    head = head_of(octets)
    added = b""
    if not _DATE.search(head):
        added += f"Date: {date}\r\n".encode("ascii")
    if not _MESSAGE_ID.search(head):
        address = sender(octets)
        domain = domain_of(address) if address else _FALLBACK_DOMAIN
        added += f"Message-ID: <{message_id}@{domain}>\r\n".encode("ascii")
    end = b"" if octets.endswith(b"\r\n") else b"\r\n"
    whole = b"".join([added, octets, end]) if added or end else octets
    return whole, not whole.isascii()
