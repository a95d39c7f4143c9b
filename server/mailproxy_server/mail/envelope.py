"""The SMTP envelope (RFC 5321 section 2.3.1): what the relay is told, apart from the content."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Envelope:
    """Reverse-path and forward-paths of one transaction.

    `return_path` is "" for the null reverse-path (section 4.5.5). Addresses are normal
    forms as `mail.address` gives them: local part exact, domain as lower-case A-label.
    """

    return_path: str
    recipients: tuple[str, ...]

    @property
    def needs_smtputf8(self) -> bool:
        """Whether a path has non-ASCII characters, which only SMTPUTF8 can carry (RFC 6531)."""
        return not (self.return_path.isascii() and all(r.isascii() for r in self.recipients))
