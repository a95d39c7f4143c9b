"""Secrets that sing when they are seen: each in the forms in which it could get out."""

import base64
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519


def bird(name: str) -> str:
    """Give a secret."""
    return f"canary-{name}-{secrets.token_hex(6)}"


def dkim_pem() -> str:
    """Give a private key for DKIM."""
    return (
        ed25519.Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


@dataclass
class Cage:
    """All canaries of a test, by what they are."""

    password: str = field(default_factory=lambda: bird("password"))
    client_secret: str = field(default_factory=lambda: bird("client-secret"))
    refresh_token: str = field(default_factory=lambda: bird("refresh-token"))
    access_token: str = field(default_factory=lambda: bird("access-token"))
    endpoint: str = field(default_factory=lambda: bird("endpoint"))
    token: str = field(default_factory=lambda: bird("token-of-the-tenant"))
    wrong_token: str = field(default_factory=lambda: bird("token-that-is-wrong"))
    http_token: str = field(default_factory=lambda: bird("http-token"))
    wrong_http_token: str = field(default_factory=lambda: bird("http-token-wrong"))
    database: str = field(default_factory=lambda: bird("database"))
    key: str = field(default_factory=lambda: base64.b64encode(secrets.token_bytes(32)).decode())
    dkim: str = field(default_factory=dkim_pem)

    def seen(self, what: str) -> list[str]:
        """Give the names of those that are in a text, in any form."""
        return [name for name, value in vars(self).items() if _sings(value, what)]


def _sings(value: str, what: str) -> bool:
    if value.startswith("-----"):
        value = value.splitlines()[1]  # of a PEM, the secret part
    raw = value.encode()
    coded = [base64.b64encode(bytes(shift) + raw).decode()[4:-4] for shift in range(3)]
    forms = {value, quote(value, safe=""), raw.hex(), *coded}
    return any(form in what for form in forms)
