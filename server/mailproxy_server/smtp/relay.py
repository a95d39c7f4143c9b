"""What the pool is told of a relay: where it is, how to speak to it, and how long to wait.

Plain data, checked by whoever makes it. No secret is ever in a repr.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Tls(StrEnum):
    """How the connection is protected."""

    STARTTLS = "starttls"
    """Required: a relay that does not offer it is an error, never clear text (RFC 3207)."""
    IMPLICIT = "implicit"
    """From the first byte (RFC 8314)."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class OauthGrant:
    """How access tokens for XOAUTH2 are got (RFC 6749): by `refresh_token` where there is one
    (section 6), else by client credentials (section 4.4)."""

    token_url: str
    client_id: str
    scope: str = ""
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Relay:
    """One relay as one account uses it.

    `tls_ca_certificates` is PEM, trusted in place of the system's authorities when not
    empty. An empty `username` means no AUTH; with `oauth` it authenticates by XOAUTH2 and not
    by password. `max_messages_per_connection` 0 means no limit;
    `idle_ttl` is in seconds; `pipelining` False keeps to one command at a time.
    """

    host: str
    port: int
    tls: Tls = Tls.STARTTLS
    tls_insecure_skip_verify: bool = False
    tls_ca_certificates: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    oauth: OauthGrant | None = None
    ehlo_name: str = "localhost"
    max_connections: int = 10
    max_messages_per_connection: int = 0
    idle_ttl: float = 300.0
    pipelining: bool = True

    @property
    def name(self) -> str:
        """Give "host:port", an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait at each stage before the connection is given up.

    From MAIL on, the minima of RFC 5321 section 4.5.3.2. Before it shorter than there (5
    minutes for the greeting): nothing is at stake yet, and another attempt costs nothing.
    """

    connect: float = 60.0
    """TCP and, when implicit, TLS; then as long again for the greeting."""
    session: float = 60.0
    """Each step of EHLO, STARTTLS and AUTH."""
    mail: float = 300.0
    """MAIL (4.5.3.2.2) and each RCPT (4.5.3.2.3)."""
    data: float = 120.0
    """DATA until its 354 (4.5.3.2.4)."""
    body: float = 180.0
    """Each block of the content until the system took it (4.5.3.2.5)."""
    dot: float = 600.0
    """The final dot until its reply (4.5.3.2.6): a shorter wait sends messages twice."""
    check: float = 10.0
    """RSET on a connection that rested, before it is used again."""
    quit: float = 5.0
    """QUIT, after which the connection is closed whatever came back."""
