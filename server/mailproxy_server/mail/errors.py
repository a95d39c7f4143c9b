"""Errors by whose fault they are: the caller's, or nobody's and passing.

Each carries a `reason` (an `ErrorReason` of the contract without its prefix), the field
where one is at fault, and words that name the remedy. The edges translate them once:
`rpc.status` to a gRPC status. A fault of our own is any other exception.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is at fault.

    `field` is its path from the request, as "email.composed.to[3].address";
    `description` names the limit and the remedy and never repeats a secret.
    """

    field: str
    description: str


class MailProxyError(Exception):
    """Base of all errors that are meant for a caller's eyes."""

    def __init__(self, reason: str, message: str, metadata: Mapping[str, str] | None = None):
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: Mapping[str, str] = metadata or {}


class CallerError(MailProxyError):
    """The request cannot be carried out as it stands; repeating it will not help."""

    def __init__(
        self,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
    ):
        super().__init__(reason, message, metadata)
        self.violations = tuple(violations)


class InvalidFields(CallerError):
    """One or more fields are missing, malformed or past their limit."""

    def __init__(self, violations: Sequence[FieldViolation], reason: str = "FIELD_INVALID"):
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(reason, f"{first.field}: {first.description}{more}", violations=violations)


class Unavailable(MailProxyError):
    """Cannot be done just now; the same request may be sent again after `retry_after` seconds."""

    def __init__(
        self,
        reason: str,
        message: str,
        retry_after: float,
        metadata: Mapping[str, str] | None = None,
    ):
        super().__init__(reason, message, metadata)
        self.retry_after = retry_after


def invalid(field: str, description: str) -> InvalidFields:
    """Give the error for one field."""
    return InvalidFields([FieldViolation(field, description)])
