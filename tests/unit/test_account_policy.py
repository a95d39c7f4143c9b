"""Limits, retries, fallbacks and grants of an account: what is kept, and what is refused how."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2 as pb
from mailproxy_server.accounts.account import Grant, Oauth
from mailproxy_server.accounts.rows import stored
from mailproxy_server.mail.errors import InvalidFields
from mailproxy_server.policy.retry import RetryPolicy
from mailproxy_server.policy.windows import Limit, Unit
from mailproxy_server.rpc.account_oauth import token_url
from mailproxy_server.rpc.account_whole import columns_of, completed

URL = "https://login.example.com/token"
MINUTE, HOUR, DAY = 60, 3600, 86400


def seconds(length: float) -> Duration:
    return Duration(seconds=int(length), nanos=round(length % 1 * 1e9))


def limit(count: int, window: float, unit: pb.RateUnit.ValueType = 0) -> pb.RateLimit:  # type: ignore[assignment]
    return pb.RateLimit(count=count, window=seconds(window), unit=unit)


def kept(field: str, **fields: Any) -> Any:
    return columns_of(pb.Account(account_id="a", **fields), [field]).popitem()[1]


def faults(field: str, **fields: Any) -> Iterator[tuple[str, str]]:
    with pytest.raises(InvalidFields) as caught:
        columns_of(pb.Account(account_id="a", **fields), [field])
    for one in caught.value.violations:
        yield one.field, one.description


def test_limits_are_kept_with_recipients_as_their_unit_unless_said() -> None:
    given = [limit(14, 1), limit(30, MINUTE, pb.RATE_UNIT_MESSAGES), limit(10**9, DAY)]
    assert kept("limits", limits=given) == (
        Limit(14, 1.0),
        Limit(30, 60.0, Unit.MESSAGES),
        Limit(10**9, 86400.0),
    )
    assert kept("limits") == ()


@pytest.mark.parametrize("window", [0, 0.5, 2, 10, 61, 3601, 2 * DAY, -1])
def test_a_window_is_one_of_four(window: float) -> None:
    ((field, words),) = faults("limits", limits=[limit(1, HOUR), limit(1, window)])
    assert field == "account.limits[1].window"
    assert "1 s, 1 min (60 s), 1 h (3600 s) or 1 day (86400 s)" in words


@pytest.mark.parametrize("count", [0, -1, 10**9 + 1])
def test_a_count_has_its_limits(count: int) -> None:
    assert list(faults("limits", limits=[limit(count, 1)])) == [
        ("account.limits[0].count", "must be 1 to 1,000,000,000")
    ]


def test_all_faults_of_all_limits_are_named() -> None:
    found = dict(faults("limits", limits=[limit(0, 3), limit(1, 1), limit(0, 1)]))
    assert set(found) == {
        "account.limits[0].count",
        "account.limits[0].window",
        "account.limits[2].count",
    }


def test_two_limits_of_one_window_and_unit_are_refused_and_of_two_units_are_not() -> None:
    same = [limit(5, 1), limit(6, 1, pb.RATE_UNIT_RECIPIENTS)]
    ((field, words),) = faults("limits", limits=same)
    assert (field, "limits[0] has the same" in words) == ("account.limits[1].window", True)
    assert len(kept("limits", limits=[limit(5, 1), limit(6, 1, pb.RATE_UNIT_MESSAGES)])) == 2


def test_seventeen_limits_are_too_many() -> None:
    ((field, words),) = faults("limits", limits=[limit(1, 1)] * 17)
    assert (field, words) == ("account.limits", "17 limits, and 16 are allowed")


@pytest.mark.parametrize(
    ("octets", "field"),
    [
        (b"\x90\x01\x63", "account.limit_behavior"),
        (b"\x8a\x01\x02\x18\x63", "account.limits[0].unit"),
    ],
)
def test_a_number_that_is_not_known_is_an_unknown_field(octets: bytes, field: str) -> None:
    account = pb.Account()
    account.MergeFromString(octets)
    with pytest.raises(InvalidFields) as caught:
        columns_of(account, ["host"])
    assert (caught.value.reason, caught.value.violations[0].field) == ("UNKNOWN_FIELD", field)


def test_a_retry_policy_that_is_not_set_is_the_default_and_takes_no_room() -> None:
    assert kept("retry") == kept("retry", retry=pb.RetryPolicy()) == RetryPolicy()
    assert stored({"retry": RetryPolicy()}) == {"retry": {}}


def test_of_a_retry_policy_what_differs_is_stored() -> None:
    policy = kept(
        "retry", retry=pb.RetryPolicy(first_delay=seconds(30), jitter=0.0, max_attempts=5)
    )
    assert policy == RetryPolicy(first=30.0, jitter=0.0, max_attempts=5)
    columns = stored({"retry": policy})["retry"]
    assert columns == {"first": 30.0, "jitter": 0.0, "max_attempts": 5}
    assert RetryPolicy(**columns) == policy


@pytest.mark.parametrize(
    ("policy", "field", "words"),
    [
        ({"first_delay": seconds(0.5)}, "first_delay", "1 s to 1 day"),
        ({"first_delay": seconds(DAY + 1)}, "first_delay", "1 s to 1 day"),
        ({"factor": 0.9}, "factor", "1 to 10"),
        ({"factor": 10.1}, "factor", "1 to 10"),
        ({"factor": float("nan")}, "factor", "1 to 10"),
        ({"max_delay": seconds(7 * DAY + 1)}, "max_delay", "1 s to 7 days"),
        ({"jitter": -0.1}, "jitter", "0 to 0.9"),
        ({"jitter": 0.91}, "jitter", "0 to 0.9"),
        ({"jitter": float("inf")}, "jitter", "0 to 0.9"),
        ({"max_attempts": -1}, "max_attempts", "0 for no limit"),
        ({"max_age": seconds(31 * DAY)}, "max_age", "1 s to 30 days"),
        ({"first_delay": seconds(2 * HOUR)}, "max_delay", "at least 7200 s"),
    ],
)
def test_a_retry_policy_is_refused_in_words_that_name_the_limit(
    policy: dict[str, Any], field: str, words: str
) -> None:
    ((path, why),) = faults("retry", retry=pb.RetryPolicy(**policy))
    assert (path, words in why) == (f"account.retry.{field}", True)


def test_fallbacks_are_others_each_named_once() -> None:
    assert kept("fallback_account_ids", fallback_account_ids=["b", "c"]) == ("b", "c")
    found = dict(faults("fallback_account_ids", fallback_account_ids=["b", "B!", "b"]))
    assert found == {
        "account.fallback_account_ids[1]": "not an account_id",
        "account.fallback_account_ids[2]": "named already",
    }
    ((field, words),) = faults("fallback_account_ids", fallback_account_ids=["b", "a"])
    assert field == "account.fallback_account_ids[1]"
    assert "take over from itself" in words
    nine = [f"x{number}" for number in range(9)]
    ((field, words),) = faults("fallback_account_ids", fallback_account_ids=nine)
    assert (field, words) == ("account.fallback_account_ids", "9 accounts, and 8 are allowed")


def test_a_patience_of_nothing_is_not_one_that_is_not_set() -> None:
    assert kept("failover_patience") == 60.0
    assert kept("failover_patience", failover_patience=seconds(0)) == 0.0
    ((_, words),) = faults("failover_patience", failover_patience=seconds(DAY + 1))
    assert words == "must be 0 s to 1 day; default 1 minute"


@pytest.mark.parametrize("group", ["A", "-a", "a b", "a" * 64])
def test_a_rate_group_looks_like_an_account_id(group: str) -> None:
    ((field, _),) = faults("rate_group", rate_group=group)
    assert field == "account.rate_group"


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com/oauth2/v2.0/token?a=b",
        "https://login.example.com:8443/t",
        "http://127.0.0.1:8080/token",
        "http://localhost/token",
        "http://[::1]:9/token",
    ],
)
def test_a_token_url_may_be(url: str) -> None:
    assert token_url(url) == url


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "required"),
        ("login.example.com/token", "required"),
        ("http://login.example.com/token", "https://"),
        ("http://127.0.0.1.example.com/token", "https://"),
        ("ftp://127.0.0.1/token", "https://"),
        ("https://u:p@login.example.com/token", "user or password"),
        ("https://login.example.com/token#x", "fragment"),
        ("https://login.example.com:99999/token", "not a URL"),
        ("https://[::1/token", "not a URL"),
        ("https://a b.example.com/token", "required"),
        ("https://login.example.com/\ntoken", "control"),
        ("https://..example.com/token", "host name"),
        ("https://login.example.com/" + "a" * 2048, "2048"),
    ],
)
def test_a_token_url_is_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        token_url(url)


def test_a_grant_is_kept_and_its_secrets_are_in_no_repr() -> None:
    given = pb.OauthGrant(token_url=URL, client_id="app", client_secret="s3cret", scope="x")
    grant = kept("oauth", oauth=given)
    assert grant == Grant(Oauth(URL, "app", "x"), "s3cret")
    assert "s3cret" not in repr(grant)
    assert kept("oauth") is None


def test_faults_of_a_grant_are_named_without_its_secrets() -> None:
    given = pb.OauthGrant(token_url="x", client_secret="s3cret\n", refresh_token="s3cret" * 2000)
    found = dict(faults("oauth", oauth=given))
    assert set(found) == {
        "account.oauth.token_url",
        "account.oauth.client_id",
        "account.oauth.client_secret",
        "account.oauth.refresh_token",
    }
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"username": "u", "password": "p"}, "account.password"),
        ({}, "account.username"),
        ({"username": "u", "tls": pb.TLS_MODE_NONE}, "account.tls"),
    ],
)
def test_a_grant_has_to_fit_the_rest_of_the_account(fields: dict[str, Any], fault: str) -> None:
    grant = pb.OauthGrant(token_url=URL, client_id="app", client_secret="s")
    account = pb.Account(account_id="a", host="h.example", oauth=grant, **fields)
    columns = columns_of(account, ["host", "tls", "port", "username", "password", "oauth"])
    with pytest.raises(InvalidFields) as caught:
        completed(columns, None)
    assert caught.value.violations[0].field == fault


def test_a_grant_needs_something_to_get_a_token_with() -> None:
    grant = pb.OauthGrant(token_url=URL, client_id="app")
    columns = columns_of(pb.Account(username="u", oauth=grant), ["username", "oauth"])
    with pytest.raises(InvalidFields, match="a client_secret or a refresh_token is required"):
        completed(columns, None)
