import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from mailproxy import errors
from mailproxy.errors import FieldViolation, MailProxyError, from_call, from_status


class Call:
    def __init__(self, code: str, details: str, *trailers: tuple[str, str | bytes]) -> None:
        self._code, self._details, self._trailers = grpc.StatusCode[code], details, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._trailers


def rich(code: str, *details: Message) -> Status:
    status = Status(code=grpc.StatusCode[code].value[0], message="words")
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        ("INVALID_ARGUMENT", "FIELD_INVALID", errors.InvalidRequestError),
        ("UNAUTHENTICATED", "TOKEN_INVALID", errors.AuthenticationError),
        ("PERMISSION_DENIED", "", errors.AuthenticationError),
        ("NOT_FOUND", "MESSAGE_NOT_FOUND", errors.NotFoundError),
        ("ALREADY_EXISTS", "REQUEST_ID_REUSED", errors.ConflictError),
        ("ABORTED", "ETAG_MISMATCH", errors.ConflictError),
        ("FAILED_PRECONDITION", "TOO_LATE", errors.RefusedError),
        ("FAILED_PRECONDITION", "CURSOR_FOREIGN", errors.CursorError),
        ("OUT_OF_RANGE", "CURSOR_EXPIRED", errors.CursorError),
        ("RESOURCE_EXHAUSTED", "QUEUE_FULL", errors.OverloadedError),
        ("UNAVAILABLE", "DRAINING", errors.UnavailableError),
        ("DEADLINE_EXCEEDED", "DEADLINE", errors.DeadlineError),
        ("INTERNAL", "INTERNAL", errors.ServerError),
        ("UNKNOWN", "", errors.ServerError),
    ],
)
def test_each_status_has_its_exception(code: str, reason: str, kind: type[MailProxyError]) -> None:
    info = ErrorInfo(reason=reason, metadata={"k": "v"})
    error = from_status(rich(code, info))
    assert type(error) is kind
    assert (error.reason, error.code.name, str(error)) == (reason, code, "words")
    assert error.metadata == {"k": "v"}


def test_violations_and_the_time_to_wait_come_from_the_details() -> None:
    bad, retry = BadRequest(), RetryInfo()
    bad.field_violations.add(field="email.to", description="is empty")
    retry.retry_delay.FromMilliseconds(1500)
    error = from_status(rich("INVALID_ARGUMENT", bad, retry))
    assert error.field_violations == (FieldViolation("email.to", "is empty"),)
    assert error.retry_after == 1.5


@pytest.mark.parametrize(("pushback", "expected"), [("250", 0.25), ("-1", -0.001), ("x", -1.0)])
def test_pushback_overrides_the_details(pushback: str, expected: float) -> None:
    retry = RetryInfo()
    retry.retry_delay.FromSeconds(9)
    details = rich("UNAVAILABLE", retry).SerializeToString()
    call = Call(
        "UNAVAILABLE",
        "words",
        ("grpc-status-details-bin", details),
        ("grpc-retry-pushback-ms", pushback),
    )
    assert from_call(call).retry_after == expected


@pytest.mark.parametrize("trailers", [(), (("grpc-status-details-bin", b"\xff\xff"),)])
def test_a_status_without_readable_details_keeps_its_code_and_words(
    trailers: tuple[tuple[str, str | bytes], ...],
) -> None:
    error = from_call(Call("UNAVAILABLE", "no route", *trailers))
    assert (type(error), str(error), error.reason) == (errors.UnavailableError, "no route", "")


def test_one_exception_family_and_a_deadline_is_a_timeout_too() -> None:
    assert isinstance(errors.deadline(1), TimeoutError)
    for name in dir(errors):
        if name.endswith("Error") and name != "DecodeError":
            assert issubclass(getattr(errors, name), MailProxyError)
