"""What admission gives of a good email."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mailproxy.v1 import message_pb2
from mailproxy_server.content.codec import admit, restore
from mailproxy_server.mail.errors import InvalidFields

from tests.support.emails import NOW, RAW, composed, raw


def admitted(email: message_pb2.Email) -> Any:
    return admit(email, now=NOW, fingerprint=False)


def at(**delta: float) -> datetime:
    return NOW + timedelta(**delta)


def test_defaults_are_filled_in() -> None:
    got = admitted(composed())
    assert (got.account_id, got.return_path) == ("", "shop@example.com")
    assert got.recipients == ("ann@example.net",)
    assert (got.priority, got.send_time, got.expire_time, got.ttl) == (30, None, None, None)
    assert (got.labels, got.metadata, got.digests) == ({}, {}, {})


def test_recipients_are_distinct_normal_forms_in_the_order_of_to_cc_bcc() -> None:
    email = composed(
        to=[{"address": "Ann@EXAMPLE.net"}, {"address": "ann@example.net"}],
        cc=[{"address": "Ann@example.NET"}, {"address": "bob@bücher.example"}],
        bcc=[{"address": "eve@example.net"}],
    )
    assert admitted(email).recipients == (
        "Ann@example.net",
        "ann@example.net",
        "bob@xn--bcher-kva.example",
        "eve@example.net",
    )


def test_a_thousand_recipients_pass() -> None:
    to = [{"address": f"a{n}@b.test"} for n in range(1000)]
    assert len(admitted(composed(to=to, cc=to[:5])).recipients) == 1000


def test_what_is_stored_has_normal_addresses_and_no_bcc() -> None:
    email = composed(
        {"account_id": "demo", "labels": {"a": "b"}},
        to=[{"address": "ann@BÜCHER.example", "display_name": "Ann"}],
        bcc=[{"address": "eve@hidden.test"}],
    )
    before = message_pb2.Email.FromString(email.SerializeToString())
    content = admitted(email).content
    assert b"hidden" not in content
    stored = restore(content)
    assert [f.name for f, _ in stored.ListFields()] == ["composed"]
    assert stored.composed.to[0].address == "ann@xn--bcher-kva.example"
    assert email == before


def test_a_raw_message_gives_the_envelopes_recipients_and_the_senders_path() -> None:
    got = admitted(raw(RAW, recipients=["b@EXAMPLE.test", "a@example.test", "b@example.test"]))
    assert got.recipients == ("b@example.test", "a@example.test")
    assert got.return_path == "shop@example.com"
    assert restore(got.content).raw_mime == RAW


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"return_path": ""}, ""),
        ({"return_path": "b@X.test"}, "b@x.test"),
        ({}, "shop@example.com"),
    ],
)
def test_the_return_path_is_the_envelopes_or_froms(given: dict[str, str], path: str) -> None:
    assert admitted(composed({"envelope": given})).return_path == path


@pytest.mark.parametrize(("given", "meant"), [(0, 30), (10, 10), (20, 20), (30, 30), (40, 40)])
def test_an_unspecified_priority_is_medium(given: int, meant: int) -> None:
    assert admitted(composed({"priority": given})).priority == meant


@pytest.mark.parametrize(
    ("given", "send", "expire", "ttl"),
    [
        ({"send_time": at(hours=1)}, at(hours=1), None, None),
        ({"send_time": at(hours=-1)}, None, None, None),
        ({"send_time": NOW}, None, None, None),
        ({"send_time": at(days=365)}, at(days=365), None, None),
        ({"expire_time": at(seconds=1)}, None, at(seconds=1), None),
        ({"send_time": at(hours=-2), "expire_time": at(hours=1)}, None, at(hours=1), None),
        (
            {"send_time": at(hours=1), "ttl": timedelta(seconds=1)},
            at(hours=1),
            None,
            timedelta(0, 1),
        ),
        ({"ttl": timedelta(days=3660)}, None, None, timedelta(days=3660)),
    ],
)
def test_times_are_taken_as_they_are_meant(given: Any, send: Any, expire: Any, ttl: Any) -> None:
    got = admitted(composed(given))
    assert (got.send_time, got.expire_time, got.ttl) == (send, expire, ttl)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"send_time": at(days=367)}, "send_time"),
        ({"send_time": {"seconds": 2**62}}, "send_time"),
        ({"send_time": {"nanos": -1}}, "send_time"),
        ({"expire_time": NOW}, "expire_time"),
        ({"expire_time": {"seconds": -(2**62)}}, "expire_time"),
        ({"send_time": at(hours=1), "expire_time": at(hours=1)}, "expire_time"),
        ({"ttl": {"nanos": 999_999_999}}, "ttl"),
        ({"ttl": {"seconds": -5}}, "ttl"),
        ({"ttl": {"seconds": 1, "nanos": -1}}, "ttl"),
        ({"ttl": {"seconds": 2**62}}, "ttl"),
    ],
)
def test_an_impossible_time_is_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        admitted(composed(given))
    assert [v.field for v in caught.value.violations] == [f"email.{field}"]


def test_limits_are_inclusive() -> None:
    email = composed(
        {
            "account_id": "a" * 63,
            "labels": {f"{n:02}" + "k" * 61: "v" * 128 for n in range(16)},
            "metadata": {"k": "v" * 4095},
        },
        to=[{"address": "a" * 64 + "@b.test", "display_name": "n" * 256}],
        subject="s" * 2000,
        headers=[{"name": "X-" + "a" * 74, "value": "v" * 16_384}] * 100,
        attachments=[{"filename": "f" * 255, "content": b""}] * 100,
    )
    assert len(admitted(email).labels) == 16


def test_harmless_unicode_and_tabs_pass() -> None:
    email = composed(
        subject="Grüße \u200d\U0001f600 \u00ad العربية",
        headers=[{"name": "X-Tab", "value": "a\tb"}, {"name": "X-Word", "value": "=?utf-8?q?ok?="}],
    )
    assert admitted(email).recipients


def test_the_time_zone_of_now_does_not_matter() -> None:
    email = composed({"send_time": at(minutes=5)})
    local = NOW.astimezone()
    assert admit(email, now=local, fingerprint=False).send_time == at(minutes=5).astimezone(UTC)
