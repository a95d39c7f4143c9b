"""Which header fields a caller may add (RFC 5322 section 3.6.8), and what goes with them."""

import re
from collections.abc import MutableSequence
from typing import Final

from mailproxy.v1 import message_pb2

NAME_LIMIT: Final = 76
"""Characters of a name, so that it and its colon fit a line."""

ONCE: Final = frozenset({"in-reply-to", "references", "list-unsubscribe-post"})
"""Names that may occur once only."""

_NAME = re.compile(rf"[!-9;-~]{{1,{NAME_LIMIT}}}\Z")
_FIELDS: Final = {
    "from": "from_address",
    "to": "to",
    "cc": "cc",
    "bcc": "bcc",
    "reply-to": "reply_to",
    "subject": "subject",
}
_OWN: Final = frozenset({"date", "message-id", "mime-version", "sender"})
_TRACE: Final = frozenset(
    {"received", "return-path", "delivered-to", "dkim-signature", "domainkey-signature"}
)
_OWN_PREFIXES: Final = ("content-", "x-mailproxy-")
_POST: Final = "List-Unsubscribe-Post"
_ONE_CLICK: Final = "List-Unsubscribe=One-Click"
_TRACE_PREFIXES: Final = ("resent-", "arc-")


def name_flaw(name: str) -> str | None:
    """Give why a caller may not add a header of this name, or None."""
    if not _NAME.match(name):
        return (
            "is not a header name (RFC 5322): printable ASCII without colon or space, "
            f"at most {NAME_LIMIT} characters"
        )
    lower = name.lower()
    if lower in _FIELDS:
        return f"is set by the proxy; use composed.{_FIELDS[lower]}"
    if lower in _OWN or lower.startswith(_OWN_PREFIXES):
        return "is set by the proxy; leave it out, or send the whole message as raw_mime"
    if lower in _TRACE or lower.startswith(_TRACE_PREFIXES):
        return "is for relays and signers to add; leave it out, or send raw_mime"
    return None


def complete(headers: MutableSequence[message_pb2.Header]) -> None:
    """Say that unsubscribing takes one click (RFC 8058), where there is an https address for it.

    A caller who gives List-Unsubscribe-Post decides; an empty one is left out.
    """
    if not headers:
        return
    there = {header.name.lower(): header.value for header in headers}
    if "list-unsubscribe-post" not in there:
        if "<https://" in there.get("list-unsubscribe", "").lower():
            headers.append(message_pb2.Header(name=_POST, value=_ONE_CLICK))
    elif not there["list-unsubscribe-post"]:
        kept = [header for header in headers if header.name.lower() != _POST.lower()]
        del headers[:]
        headers.extend(kept)
