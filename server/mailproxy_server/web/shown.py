"""A message as a mail client would show it: headers, text, HTML, files. Pure.

HTML is given as it is and shown in a frame without any rights; pictures that it names by cid are
put into it, and nothing is ever fetched.
"""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.headerregistry import HeaderRegistry
from email.message import EmailMessage
from functools import lru_cache
from typing import Any

PICTURE_OCTETS = 2 * 2**20
"""The largest picture that is put into the HTML."""
_CID = re.compile(r"""(["'(])\s*cid:([^"')\s]+)""", re.IGNORECASE)
_HEADERS = ("From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID", "X-Mailproxy-Id")
_STRUCTURED, _TEXT = HeaderRegistry(), HeaderRegistry(use_default_map=False)
_INSTEAD = {
    "content-type": "application/octet-stream",
    "content-disposition": "attachment",
    "content-transfer-encoding": "8bit",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A file in a message."""

    name: str
    kind: str
    octets: bytes


@lru_cache(maxsize=64)
def _read(name: str, value: str) -> Any:
    """Read a header, which Python's parser does anew for each question about it, and where it
    breaks on one, give its text."""
    try:
        return _STRUCTURED(name, value)
    except Exception:
        instead = _INSTEAD.get(name.lower())
        return _STRUCTURED(name, instead) if instead else _TEXT(name, value)


_READING = policy.default.clone(header_factory=_read)


def parsed(octets: bytes) -> EmailMessage:
    """Parse it; whatever it is, something is given."""
    message = message_from_bytes(octets, policy=_READING)
    assert isinstance(message, EmailMessage)
    return message


def summary(octets: bytes) -> dict[str, str]:
    """Give its headers."""
    message = parsed(octets)
    return {name: str(message[name]) for name in _HEADERS if message[name] is not None}


def text(message: EmailMessage) -> str:
    """Give its text; "" when it has none."""
    return _body(message, "plain")


def html(message: EmailMessage) -> str:
    """Give its HTML with the pictures that it names by cid; "" when it has none."""
    found = _body(message, "html")
    if not found:
        return ""
    pictures = dict(_pictures(message))

    def picture(match: "re.Match[str]") -> str:
        return match[1] + pictures.get(match[2], "about:blank")

    return _CID.sub(picture, found)


def files(message: EmailMessage) -> list[Part]:
    """Give its attachments, pictures of the HTML included."""
    found = []
    for number, part in enumerate(_leaves(message)):
        if part.get_content_disposition() == "attachment" or part.get_content_maintype() not in (
            "text",
            "multipart",
        ):
            name = part.get_filename() or f"part-{number}"
            octets = part.get_payload(decode=True)
            found.append(
                Part(name, part.get_content_type(), octets if isinstance(octets, bytes) else b"")
            )
    return found


def _body(message: EmailMessage, kind: str) -> str:
    try:
        part = message.get_body(preferencelist=(kind,))
        content: Any = part.get_content() if part is not None else ""
    except (LookupError, ValueError, AttributeError):
        return ""
    return content if isinstance(content, str) else ""


def _pictures(message: EmailMessage) -> Iterator[tuple[str, str]]:
    for part in _leaves(message):
        content_id = str(part.get("Content-ID", "")).strip().strip("<>")
        octets = part.get_payload(decode=True)
        if not (content_id and part.get_content_maintype() == "image"):
            continue
        if isinstance(octets, bytes) and len(octets) <= PICTURE_OCTETS:
            kind = part.get_content_type()
            yield content_id, f"data:{kind};base64,{base64.b64encode(octets).decode()}"


def _leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    for part in message.walk():
        if not part.is_multipart() and isinstance(part, EmailMessage):
            yield part
