"""Errors of ours as a gRPC status: code, google.rpc details, trailers.

Owns the table of reasons and codes, and the bound on an error's size: other languages take
8 KiB of trailers by default, and what is above costs the client the whole error.
"""

from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from mailproxy_server.mail.errors import CallerError, MailProxyError, Unavailable

DOMAIN = "mailproxy.v1"
"""The domain of every ErrorInfo."""

MESSAGE_LIMIT = 800
"""Characters of an error's message that are sent."""

DETAILS_LIMIT = 3_000
"""Bytes of a status; violations past it are left out."""

_Code = grpc.StatusCode

CODES: Mapping[str, grpc.StatusCode] = {
    "FIELD_INVALID": _Code.INVALID_ARGUMENT,
    "UNKNOWN_FIELD": _Code.INVALID_ARGUMENT,
    "UNKNOWN_ACTION": _Code.INVALID_ARGUMENT,
    "REQUEST_MALFORMED": _Code.INVALID_ARGUMENT,
    "REQUEST_TOO_LARGE": _Code.INVALID_ARGUMENT,
    "REQUEST_ID_REUSED": _Code.ALREADY_EXISTS,
    "ACCOUNT_EXISTS": _Code.ALREADY_EXISTS,
    "ACCOUNT_NOT_FOUND": _Code.NOT_FOUND,
    "MESSAGE_NOT_FOUND": _Code.NOT_FOUND,
    "TEMPLATE_NOT_FOUND": _Code.NOT_FOUND,
    "TEMPLATE_EXISTS": _Code.ALREADY_EXISTS,
    "ETAG_MISMATCH": _Code.ABORTED,
    "ACCOUNT_HAS_QUEUED": _Code.FAILED_PRECONDITION,
    "CURSOR_FOREIGN": _Code.FAILED_PRECONDITION,
    "TOO_LATE": _Code.FAILED_PRECONDITION,
    "CONTENT_GONE": _Code.FAILED_PRECONDITION,
    "CURSOR_EXPIRED": _Code.OUT_OF_RANGE,
    "QUEUE_FULL": _Code.RESOURCE_EXHAUSTED,
    "INFLIGHT_BYTES": _Code.RESOURCE_EXHAUSTED,
    "TOO_MANY_STREAMS": _Code.RESOURCE_EXHAUSTED,
    "OUT_OF_MEMORY": _Code.RESOURCE_EXHAUSTED,
    "DATABASE_UNAVAILABLE": _Code.UNAVAILABLE,
    "DRAINING": _Code.UNAVAILABLE,
    "TOKEN_MISSING": _Code.UNAUTHENTICATED,
    "TOKEN_INVALID": _Code.UNAUTHENTICATED,
    "DEADLINE": _Code.DEADLINE_EXCEEDED,
    "INTERNAL": _Code.INTERNAL,
}
"""The code of each reason of the contract."""


def code_of(error: MailProxyError) -> grpc.StatusCode:
    """Give the gRPC code of `error`; a reason that the contract does not have is INTERNAL."""
    return CODES.get(error.reason, _Code.INTERNAL)


def to_status(error: MailProxyError) -> status_pb2.Status:
    """Give `error` as google.rpc.Status: ErrorInfo always, then what its kind adds."""
    status = status_pb2.Status(code=code_of(error).value[0], message=error.message[:MESSAGE_LIMIT])
    info = error_details_pb2.ErrorInfo(
        reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata)
    )
    _add(status, info)
    if isinstance(error, Unavailable):
        _add_retry(status, error)
    elif isinstance(error, CallerError) and error.violations:
        _add_violations(status, error)
    return status


def trailers(
    error: MailProxyError, status: status_pb2.Status
) -> tuple[tuple[str, bytes | str], ...]:
    """Give the trailing metadata that carries `status`, and tells when to come back."""
    rich = ("grpc-status-details-bin", status.SerializeToString())
    if isinstance(error, Unavailable):
        return (rich, ("grpc-retry-pushback-ms", str(round(error.retry_after * 1000))))
    return (rich,)


def _add(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _add_retry(status: status_pb2.Status, error: Unavailable) -> None:
    if code_of(error) is _Code.RESOURCE_EXHAUSTED:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=error.reason.lower(), description=status.message)
        _add(status, quota)
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(round(error.retry_after * 1000))
    _add(status, error_details_pb2.RetryInfo(retry_delay=delay))


def _add_violations(status: status_pb2.Status, error: CallerError) -> None:
    request = error_details_pb2.BadRequest()
    room = DETAILS_LIMIT - status.ByteSize()
    for violation in error.violations:
        one = request.field_violations.add(
            field=violation.field[:300], description=violation.description[:500]
        )
        room -= one.ByteSize() + 8
        if room < 0 and len(request.field_violations) > 1:
            del request.field_violations[-1]
            break
    _add(status, request)
