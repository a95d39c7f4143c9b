"""Whether a caller's text may stand in a header at all.

The rule: nothing that any reader could take for the end of a line or of a string, not even
after decoding. CPython's parser splits headers at some of these characters, and turned a
CRLF inside an encoded-word into a new header.
"""

import re

from mailproxy_server.content import words

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_TAB = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def flaw(text: str, *, tab: bool = False) -> str | None:
    """Give what makes the text unfit for a header, in a caller's words, or None.

    `tab` lets horizontal tabs pass.
    """
    if not text.isprintable():
        found = (_CONTROL_BUT_TAB if tab else _CONTROL).search(text)
        if found:
            return (
                f"holds U+{ord(found[0]):04X} at character {found.start()}; remove line breaks "
                "and other control characters"
            )
    if "=?" in text:
        return _hidden_flaw(text)
    return None


def _hidden_flaw(text: str) -> str | None:
    if any(_CONTROL_BUT_TAB.search(reading) for reading in words.readings(text)):
        return (
            "holds an encoded-word (RFC 2047) with a line break or control character in it; "
            "give plain Unicode, the proxy encodes it"
        )
    return None
