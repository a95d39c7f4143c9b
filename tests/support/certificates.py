"""Certificates for scripted relays, made by an authority of the test's own."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import trustme


@dataclass(frozen=True)
class Certificates:
    """What a relay shows, and `authority`: the PEM that an account trusts to accept it."""

    server: ssl.SSLContext
    authority: str


def certificates(
    *names: str, expired: bool = False, authority: trustme.CA | None = None
) -> Certificates:
    """Make a certificate for these names (127.0.0.1 and localhost when none are given)."""
    ca = authority or trustme.CA()
    until = datetime.now(UTC) - timedelta(days=1) if expired else None
    leaf = ca.issue_cert(*(names or ("127.0.0.1", "localhost")), not_after=until)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return Certificates(context, ca.cert_pem.bytes().decode())
