"""The judge of signatures: dkimpy, with the DNS records that the server itself would publish."""

from collections.abc import Mapping

import dkim
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def _pem(key: object) -> str:
    octets: bytes = key.private_bytes(  # type: ignore[attr-defined]
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return octets.decode()


RSA = _pem(generate_private_key(65537, 2048))
ED25519 = _pem(Ed25519PrivateKey.generate())


def verified(octets: bytes, records: Mapping[str, str]) -> int:
    """Give how many signatures a message has; fails unless each of them holds.

    `records` are TXT records by their names.
    """

    def txt(name: bytes, timeout: float = 5) -> bytes | None:
        record = records.get(name.decode().rstrip("."))
        return record.encode() if record else None

    head, _, _ = octets.partition(b"\r\n\r\n")
    count = (b"\r\n" + head).lower().count(b"\r\ndkim-signature:")
    for number in range(count):
        checked = dkim.DKIM(octets)
        assert checked.verify(idx=number, dnsfunc=txt), f"signature {number}"
    return count


def holds(octets: bytes, records: Mapping[str, str]) -> bool:
    """Whether every signature of a message holds, and there is one."""
    try:
        return verified(octets, records) > 0
    except (AssertionError, dkim.DKIMException):
        return False
