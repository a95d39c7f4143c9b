"""Signing keys of DKIM, and how DNS publishes them (RFC 6376 section 3.6, RFC 8463). Pure."""

import base64
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

LEAST_BITS: Final = 1024
"""Of an RSA key; verifiers refuse shorter ones (RFC 8301 section 3.2)."""
MOST_BITS: Final = 4096
"""A longer one has no room in DNS, and verifiers need not take it."""


class NotAKey(ValueError):
    """The text is no key that can sign; the message says why, and never repeats it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key. `algorithm` is "rsa" or "ed25519", `public` base64 as DNS has it."""

    algorithm: str
    public: str
    private: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)


def read_key(pem: str) -> SigningKey:
    """Give the key in a PEM; raises `NotAKey`."""
    try:
        private = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise NotAKey("is encrypted; give it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise NotAKey("is not the PEM of a private key") from None
    if isinstance(private, RSAPrivateKey):
        if not LEAST_BITS <= private.key_size <= MOST_BITS:
            raise NotAKey(f"has {private.key_size} bits; RSA keys have {LEAST_BITS} to {MOST_BITS}")
        der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return SigningKey("rsa", base64.b64encode(der).decode(), private)
    if isinstance(private, Ed25519PrivateKey):
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return SigningKey("ed25519", base64.b64encode(raw).decode(), private)
    raise NotAKey("is neither an RSA nor an Ed25519 key")


def dns_text(algorithm: str, public: str) -> str:
    """Give the text of the TXT record that publishes a key."""
    return f"v=DKIM1; k={algorithm}; p={public}"
