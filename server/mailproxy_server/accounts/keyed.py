"""What an account has several of, each with a secret of its own: endpoints and signing keys.

The `place` of one is what its secret is good for: where any of that changes, it is given anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A service that gives attachments. `auth` is "none", "bearer", "basic" or "header"."""

    name: str
    url: str
    auth: str = "none"
    username: str = ""
    header_name: str = ""
    has_secret: bool = False

    @property
    def place(self) -> str:
        """All of it: a changed address must not draw the secret to somebody else."""
        return "\n".join((self.name, self.url, self.auth, self.username, self.header_name))


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A signing key. `algorithm` is "rsa" or "ed25519", `public_key` base64 as DNS has it (p=)."""

    domain: str
    selector: str
    algorithm: str = ""
    public_key: str = ""

    @property
    def place(self) -> str:
        """The name of its DNS record."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class Given:
    """One of them as it is given: with its secret, "" where it stays as it was."""

    what: Endpoint | DkimKey
    secret: str = field(default="", repr=False)


def secrets_of(given: Iterable[Given], kept: Mapping[str, str]) -> dict[str, str]:
    """Give the secrets by place: those given, else those kept."""
    found = {one.what.place: one.secret or kept.get(one.what.place, "") for one in given}
    return {place: secret for place, secret in found.items() if secret}
