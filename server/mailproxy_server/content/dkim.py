"""Signs messages (DKIM, RFC 6376; Ed25519 by RFC 8463): the same for the same arguments. Pure.

Relaxed canonicalization of header and body, so that a relay that folds lines anew or trims them
breaks nothing. Signed are the fields of section 5.4.1 that are there, and both List-Unsubscribe
ones (RFC 8058 section 4); From once more than it stands there, so that none can be added.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from mailproxy_server.content.dkim_keys import SigningKey

SIGNED: Final = (
    *("from", "to", "cc", "reply-to", "subject", "date", "message-id"),
    *("in-reply-to", "references", "mime-version", "content-type", "content-transfer-encoding"),
    *("list-id", "list-help", "list-owner", "list-post", "list-archive", "list-subscribe"),
    *("list-unsubscribe", "list-unsubscribe-post", "auto-submitted", "feedback-id"),
)
"""Fields that are signed where they stand, in this order."""

_SPACES = re.compile(rb"[ \t]+")
_BEFORE_END = re.compile(rb"[ \t]+(?=\r\n)")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_LINE: Final = 72


@dataclass(frozen=True, slots=True)
class Signature:
    """A key with which one domain signs."""

    domain: str
    selector: str
    key: SigningKey = field(repr=False)

    def speaks_for(self, domain: str) -> bool:
        """Whether it signs messages from this domain: its own, or one below it."""
        return f".{domain}".endswith(f".{self.domain}")


class BodyHash:
    """The digest of a body in relaxed form (section 3.4.4), of pieces as they come."""

    def __init__(self) -> None:
        self._digest = sha256()
        self._rest = b""
        self._any = False

    def feed(self, octets: bytes) -> None:
        """Take the next piece. What may be at the end of a line, or of the body, is kept back."""
        octets = self._rest + octets
        cut = len(octets.rstrip(b" \t\r\n"))
        self._rest = octets[cut:]
        self._take(octets[:cut])

    def digest(self) -> str:
        """Give it in base64 at the end: empty lines there do not count."""
        if self._any:
            self._digest.update(b"\r\n")
        return base64.b64encode(self._digest.digest()).decode()

    def _take(self, octets: bytes) -> None:
        if octets:
            self._any = True
            self._digest.update(relaxed_body(octets))


def relaxed_body(octets: bytes) -> bytes:
    """Reduce the white space within and at the end of lines."""
    if b" " in octets or b"\t" in octets:
        octets = _BEFORE_END.sub(b"", octets)
        octets = _SPACES.sub(b" ", octets)
    return octets


def signatures(
    head: bytes,
    body_hash: str,
    keys: Sequence[Signature],
    *,
    unsigned: Sequence[str],
    instant: int,
) -> bytes:
    """Give the DKIM-Signature fields for a header block, which ends with a line end.

    `instant` is t=, in seconds since 1970; `unsigned` are names that are left out.
    """
    fields = _fields(head)
    names = _chosen([name for name, _ in fields], set(unsigned))
    signed = _signed(fields, names)
    made = [_sign(key, signed, names, body_hash, instant) for key in keys]
    return b"".join(made)


def _sign(
    signature: Signature, signed: bytes, names: Sequence[str], body_hash: str, instant: int
) -> bytes:
    key = signature.key
    tags = (
        f"v=1; a={key.algorithm}-sha256; c=relaxed/relaxed; d={signature.domain};",
        f"s={signature.selector}; t={instant};",
        *_folded(f"h={':'.join(names)};", ":"),
        f"bh={body_hash};",
    )
    text = "DKIM-Signature: " + "\r\n\t".join((*tags, "b="))
    (own,) = _fields(text.encode() + b"\r\n")
    octets = signed + b"%b:%b" % (own[0].encode(), own[1])
    if isinstance(key.private, RSAPrivateKey):
        raw = key.private.sign(octets, padding.PKCS1v15(), SHA256())
    else:
        raw = key.private.sign(sha256(octets).digest())
    lines = _folded(base64.b64encode(raw).decode(), "")
    return (text + "\r\n\t".join(lines) + "\r\n").encode()


def _fields(head: bytes) -> list[tuple[str, bytes]]:
    """Give the fields in relaxed form (section 3.4.2): names in lower case, and values."""
    lines = _FOLD.sub(b"", head).split(b"\r\n")
    found = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            plain = _SPACES.sub(b" ", value).strip(b" ")
            found.append((name.rstrip(b" \t").lower().decode("latin-1"), plain))
    return found


def _chosen(there: Sequence[str], unsigned: set[str]) -> list[str]:
    """Give the names to sign, each as often as it stands there, and From once more."""
    chosen = []
    for name in SIGNED:
        if name not in unsigned or name == "from":
            chosen += [name] * (there.count(name) + (name == "from"))
    return chosen


def _signed(fields: Sequence[tuple[str, bytes]], names: Sequence[str]) -> bytes:
    """Give the fields in the order of their names, the last of equal ones first (5.4.2)."""
    left: dict[str, list[bytes]] = {}
    for name, value in fields:
        left.setdefault(name, []).append(value)
    taken = ((name, left[name].pop()) for name in names if left.get(name))
    return b"".join([b"%b:%b\r\n" % (name.encode(), value) for name, value in taken])


def _folded(text: str, after: str) -> list[str]:
    """Break a text into lines, anywhere or after a character."""
    if not after:
        return [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    lines = [""]
    for part in re.findall(f"[^{after}]*{after}?", text):
        if lines[-1] and len(lines[-1]) + len(part) > _LINE:
            lines.append("")
        lines[-1] += part
    return lines
