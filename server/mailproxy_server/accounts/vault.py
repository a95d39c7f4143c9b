"""Encryption at rest: AES-256-GCM under one key, each value bound to its place.

A sealed value is a version byte, a nonce of 12 bytes, the ciphertext and its tag. The place
(tenant, account, field) is authenticated with it, so that a value copied into another row
does not open.
"""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
"""Length of the key."""

_VERSION = 1
_NONCE_BYTES = 12


class VaultError(Exception):
    """A sealed value does not open; the message says what to look at and holds no secret."""


class Vault:
    """Seals and opens values with `key`, which has 32 bytes; raises ValueError for others."""

    def __init__(self, key: bytes):
        if len(key) != KEY_BYTES:
            raise ValueError(f"the secret key has {len(key)} bytes and needs {KEY_BYTES}")
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return "Vault()"

    def seal(self, context: str, plaintext: str) -> bytes:
        """Encrypt `plaintext`, to be opened with the same `context` only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, plaintext.encode(), context.encode())
        return bytes([_VERSION]) + nonce + sealed

    def open(self, context: str, sealed: bytes) -> str:
        """Decrypt what `seal` gave; raises `VaultError` when key, context or bytes differ."""
        if len(sealed) <= _NONCE_BYTES or sealed[0] != _VERSION:
            raise VaultError(f"the secret of {context} is not in a form that this version knows")
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, rest, context.encode()).decode()
        except InvalidTag:
            raise VaultError(
                f"the secret of {context} does not open: MAILPROXY_SECRET_KEY differs from the "
                "key that it was sealed with; start with that key, or set the secret anew"
            ) from None
