"""Fields of an account in plain Python, as the client takes them."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from mailproxy.accounts import change, to_account
from mailproxy.errors import InvalidRequestError
from mailproxy.limits import LimitLike, limit, written
from mailproxy.v1 import account_pb2 as pb

MINUTE = Duration(seconds=60)


@pytest.mark.parametrize(
    "given",
    [
        "30/min",
        " 30 / minute : recipients ",
        (30, "m"),
        (30, timedelta(minutes=1)),
        (30, 60),
        (30, 60.0, "recipients"),
        pb.RateLimit(count=30, window=MINUTE, unit=pb.RATE_UNIT_RECIPIENTS),
    ],
)
def test_a_limit_may_be_written(given: LimitLike) -> None:
    assert limit(given) == pb.RateLimit(count=30, window=MINUTE, unit=pb.RATE_UNIT_RECIPIENTS)


@pytest.mark.parametrize("text", ["5/s", "30/min:messages", "1/h", "2000/day:messages"])
def test_a_limit_is_written_back_as_it_was(text: str) -> None:
    assert written(limit(text)) == text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("30", "is not a limit"),
        ("-1/s", "is not a limit"),
        ("30/week", "s, min, h, day"),
        ("30/s:octets", "recipients, messages"),
        ((30, "fortnight"), "s, min, h, day"),
    ],
)
def test_what_names_no_limit_is_refused_by_its_place(given: LimitLike, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words) as caught:
        to_account("a", {"limits": ["1/s", given]})
    assert caught.value.field_violations[0].field.startswith("account.limits[1]")


def test_all_fields_become_the_contracts() -> None:
    account = to_account(
        "a",
        {
            "limits": ["5/s"],
            "limit_behavior": "reject",
            "retry": {"first_delay": 30, "max_age": timedelta(days=1), "jitter": 0},
            "fallback_account_ids": ("b", "c"),
            "failover_patience": 0,
            "capture": True,
            "oauth": {"token_url": "https://t.example", "client_id": "app", "client_secret": "s"},
        },
    )
    assert account == pb.Account(
        account_id="a",
        limits=[pb.RateLimit(count=5, window=Duration(seconds=1), unit=pb.RATE_UNIT_RECIPIENTS)],
        limit_behavior=pb.LIMIT_BEHAVIOR_REJECT,
        retry=pb.RetryPolicy(
            first_delay=Duration(seconds=30), max_age=Duration(seconds=86400), jitter=0.0
        ),
        fallback_account_ids=["b", "c"],
        failover_patience=Duration(),
        capture=True,
        oauth=pb.OauthGrant(token_url="https://t.example", client_id="app", client_secret="s"),
    )
    assert account.HasField("failover_patience")


def test_none_and_nothing_empty_a_field_by_the_mask() -> None:
    request = change(
        "a", {"limits": [], "retry": None, "oauth": None}, allow_missing=False, etag=""
    )
    assert request.account == pb.Account(account_id="a")
    assert list(request.update_mask.paths) == ["limits", "retry", "oauth"]


@pytest.mark.parametrize("fields", [{"rety": {}}, {"retry": {"first": 1}}, {"oauth": {"id": "x"}}])
def test_a_field_that_there_is_not_is_a_mistake_of_the_caller(fields: Any) -> None:
    with pytest.raises(TypeError, match="unknown fields"):
        to_account("a", fields)
