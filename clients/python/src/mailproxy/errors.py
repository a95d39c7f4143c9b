"""The one family of exceptions that the client raises, and how a status becomes one of them.

Pure: it reads a status that came back and judges nothing; `calls` decides what to repeat.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

DETAILS_KEY = "grpc-status-details-bin"
"""The trailer that holds google.rpc.Status."""
PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""The trailer that asks for a pause before a retry; negative: for none at all (gRFC A6)."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is at fault: its path from the request, and what is wrong with it."""

    field: str
    description: str


class MailProxyError(Exception):
    """A call failed. `str()` of it says why, and how to mend it."""

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        field_violations: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        """An `ErrorReason` of the contract without its prefix; "" when no server answered."""
        self.code = code
        """The status code of gRPC."""
        self.field_violations = field_violations
        """Every field that is at fault, for INVALID_ARGUMENT."""
        self.retry_after = retry_after
        """Seconds after which the server will take the call, or None when it did not say.
        Negative: it must not be repeated."""
        self.metadata: Mapping[str, str] = metadata or {}
        """Further facts, as `message_id` and `differing_fields` of REQUEST_ID_REUSED; of a
        submission always its `request_id`, with which it is safe to repeat."""


class InvalidRequestError(MailProxyError):
    """A field is missing, malformed or past its limit; see `field_violations`."""


class AuthenticationError(MailProxyError):
    """No token came with the call, it is not known, or it does not permit this."""


class NotFoundError(MailProxyError):
    """No such message or account."""


class ConflictError(MailProxyError):
    """It exists already with other content, or was changed meanwhile."""


class RefusedError(MailProxyError):
    """Not possible in the present state of what it is about."""


class CursorError(RefusedError):
    """The cursor is older than the reports that are kept, from another database, or past what a
    failover of the database has kept: then `metadata` has `common_offset`, the last report that is
    still the same, and `common_cursor` to start at."""


class OverloadedError(MailProxyError):
    """The server takes no more just now."""


class UnavailableError(MailProxyError):
    """No server answered, or it cannot reach its database."""


class DeadlineError(MailProxyError, TimeoutError):
    """The time given to the call was over first. A submission may have been queued."""


class ServerError(MailProxyError):
    """A fault of the server's own, or an answer that the client does not understand."""


_BY_CODE: dict[grpc.StatusCode, type[MailProxyError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.UNAUTHENTICATED: AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: AuthenticationError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: ConflictError,
    grpc.StatusCode.ABORTED: ConflictError,
    grpc.StatusCode.FAILED_PRECONDITION: RefusedError,
    grpc.StatusCode.OUT_OF_RANGE: RefusedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: OverloadedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineError,
}


class FailedCall(Protocol):
    """What both of gRPC's exceptions for a failed call offer."""

    def code(self) -> grpc.StatusCode:
        """Give the status code."""

    def details(self) -> str | None:
        """Give the status message."""

    def trailing_metadata(self) -> Iterable[Any] | None:
        """Give the trailers."""


def from_call(call: FailedCall) -> MailProxyError:
    """Give the exception for a call that failed."""
    status, pushback = None, None
    for key, value in call.trailing_metadata() or ():
        if key == DETAILS_KEY:
            status = _parsed(value)
        elif key == PUSHBACK_KEY:
            pushback = _seconds(value)
    plain = Status(code=call.code().value[0], message=call.details() or call.code().name)
    return from_status(status or plain, pushback)


def from_status(status: Status, pushback: float | None = None, within: str = "") -> MailProxyError:
    """Give the exception for a status; `pushback` in seconds overrides its RetryInfo.

    `within` is cut off where a field's path begins with it: "requests[3]." is no business
    of a caller whose message was put into a batch.
    """
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        for known in (info, bad, retry):
            detail.Unpack(known)
    retry_after = pushback
    if pushback is None and retry.HasField("retry_delay"):
        retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return _class_for(code, info.reason)(
        status.message.removeprefix(within) or code.name,
        reason=info.reason,
        code=code,
        field_violations=tuple(
            FieldViolation(each.field.removeprefix(within), each.description)
            for each in bad.field_violations
        ),
        retry_after=retry_after,
        metadata=dict(info.metadata),
    )


def invalid(field: str, description: str) -> InvalidRequestError:
    """Give the exception for a field that the client itself finds at fault."""
    return InvalidRequestError(
        f"{field}: {description}",
        reason="FIELD_INVALID",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        field_violations=(FieldViolation(field, description),),
    )


def deadline(after: float) -> DeadlineError:
    """Give the exception for a caller whose time is over after so many seconds."""
    return DeadlineError(
        f"no answer within {after:g} s; it may have been carried out all the same",
        code=grpc.StatusCode.DEADLINE_EXCEEDED,
    )


def closed() -> UnavailableError:
    """Give the exception for a call on a client that was closed."""
    return UnavailableError(
        "this client was closed; make another one",
        reason="CLIENT_CLOSED",
        code=grpc.StatusCode.CANCELLED,
    )


def _class_for(code: grpc.StatusCode, reason: str) -> type[MailProxyError]:
    if reason.startswith("CURSOR_"):
        return CursorError
    return _BY_CODE.get(code, ServerError)


def _parsed(value: str | bytes) -> Status | None:
    try:
        return Status.FromString(value) if isinstance(value, bytes) else None
    except DecodeError:
        return None


def _seconds(value: str | bytes) -> float | None:
    try:
        return int(value) / 1000
    except ValueError:
        return -1.0
