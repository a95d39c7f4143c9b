import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from mailproxy.v1 import delivery_pb2
from mailproxy_server.mail.errors import CallerError, FieldViolation, InvalidFields, Unavailable
from mailproxy_server.rpc.status import CODES, code_of, to_status, trailers


def details(status: status_pb2.Status) -> list[str]:
    return [detail.TypeName().removeprefix("google.rpc.") for detail in status.details]


def test_every_reason_of_the_contract_has_a_code_and_no_other_does() -> None:
    names = set(delivery_pb2.ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}
    assert {name.removeprefix("ERROR_REASON_") for name in names} == set(CODES)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("FIELD_INVALID", grpc.StatusCode.INVALID_ARGUMENT),
        ("REQUEST_TOO_LARGE", grpc.StatusCode.INVALID_ARGUMENT),
        ("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS),
        ("ACCOUNT_NOT_FOUND", grpc.StatusCode.NOT_FOUND),
        ("ETAG_MISMATCH", grpc.StatusCode.ABORTED),
        ("CURSOR_FOREIGN", grpc.StatusCode.FAILED_PRECONDITION),
        ("CURSOR_EXPIRED", grpc.StatusCode.OUT_OF_RANGE),
        ("QUEUE_FULL", grpc.StatusCode.RESOURCE_EXHAUSTED),
        ("DATABASE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE),
        ("TOKEN_MISSING", grpc.StatusCode.UNAUTHENTICATED),
        ("DEADLINE", grpc.StatusCode.DEADLINE_EXCEEDED),
        ("A_REASON_THAT_IS_NOT_THERE", grpc.StatusCode.INTERNAL),
    ],
)
def test_a_reason_has_this_code(reason: str, code: grpc.StatusCode) -> None:
    assert code_of(CallerError(reason, "")) is code


def test_a_callers_error_has_error_info_alone() -> None:
    status = to_status(CallerError("TOO_LATE", "sent already", {"state": "SENT"}))
    info = error_details_pb2.ErrorInfo()
    assert details(status) == ["ErrorInfo"]
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "TOO_LATE",
        "mailproxy.v1",
        {"state": "SENT"},
    )


def test_invalid_fields_are_listed() -> None:
    status = to_status(InvalidFields([FieldViolation("a.b", "missing"), FieldViolation("c", "x")]))
    bad = error_details_pb2.BadRequest()
    assert details(status) == ["ErrorInfo", "BadRequest"]
    assert status.details[1].Unpack(bad)
    assert [(one.field, one.description) for one in bad.field_violations] == [
        ("a.b", "missing"),
        ("c", "x"),
    ]


def test_a_full_queue_names_its_quota_and_when_to_come_back() -> None:
    error = Unavailable("QUEUE_FULL", "full", retry_after=1.5)
    status = to_status(error)
    assert details(status) == ["ErrorInfo", "QuotaFailure", "RetryInfo"]
    assert dict(trailers(error, status))["grpc-retry-pushback-ms"] == "1500"


def test_what_is_unavailable_names_no_quota() -> None:
    status = to_status(Unavailable("DRAINING", "stopping", retry_after=1))
    assert details(status) == ["ErrorInfo", "RetryInfo"]


def test_an_error_stays_below_what_clients_take_in_trailers() -> None:
    violations = [FieldViolation("f" * 900, "ü" * 900) for _ in range(1000)]
    error = InvalidFields(violations)
    status = to_status(error)
    assert len(status.SerializeToString()) < 4096
    assert details(status) == ["ErrorInfo", "BadRequest"]
