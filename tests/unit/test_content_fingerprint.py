"""When two submissions are the same, and in which fields they differ."""

from datetime import timedelta
from typing import Any

import pytest
from mailproxy.v1 import message_pb2
from mailproxy_server.content.codec import admit
from mailproxy_server.content.fingerprint import VERSION_KEY, differing

from tests.support.emails import NOW, RAW, composed, raw


def digests(email: message_pb2.Email, later: timedelta = timedelta()) -> dict[str, bytes]:
    return admit(email, now=NOW + later, fingerprint=True).digests


BOX = {"address": "x@y.test"}
FILE = {"filename": "a", "content": b"a"}


@pytest.mark.parametrize(
    ("email", "content", "field"),
    [
        ({"account_id": "other"}, {}, "account_id"),
        ({"priority": 10}, {}, "priority"),
        ({"envelope": {"return_path": ""}}, {}, "envelope.return_path"),
        ({"envelope": {"return_path": "b@c.test"}}, {}, "envelope.return_path"),
        ({"send_time": NOW}, {}, "send_time"),
        ({"expire_time": NOW + timedelta(1)}, {}, "expire_time"),
        ({"ttl": timedelta(1)}, {}, "ttl"),
        ({"labels": {"a": "b"}}, {}, "labels"),
        ({"metadata": {"a": "b"}}, {}, "metadata"),
        (
            {},
            {"from_address": {"address": "shop@example.com", "display_name": "S"}},
            "from_address",
        ),
        ({}, {"to": [{"address": "ann@example.net"}, BOX]}, "to"),
        ({}, {"cc": [BOX]}, "cc"),
        ({}, {"bcc": [BOX]}, "bcc"),
        ({}, {"reply_to": [BOX]}, "reply_to"),
        ({}, {"subject": "Other"}, "subject"),
        ({}, {"text_body": "Other"}, "text_body"),
        ({}, {"html_body": "Other"}, "html_body"),
        ({}, {"headers": [{"name": "X-A", "value": "b"}]}, "headers"),
        ({}, {"attachments": [FILE]}, "attachments"),
    ],
)
def test_each_field_is_told_by_its_path(email: Any, content: Any, field: str) -> None:
    path = f"composed.{field}" if content else field
    assert differing(digests(composed()), digests(composed(email, **content))) == [path]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (composed(), composed({"priority": 30})),
        (composed(), composed({"envelope": {"return_path": "shop@EXAMPLE.com"}})),
        (composed(), composed({"envelope": {}})),
        (composed(), composed(to=[{"address": "ann@EXAMPLE.NET"}])),
        (
            composed({"labels": {"a": "1", "b": "2"}, "metadata": {"c": "3", "d": "4"}}),
            composed({"labels": {"b": "2", "a": "1"}, "metadata": {"d": "4", "c": "3"}}),
        ),
        (raw(), raw(RAW, return_path="shop@example.com")),
    ],
)
def test_what_means_the_same_is_the_same(one: message_pb2.Email, other: message_pb2.Email) -> None:
    assert differing(digests(one), digests(other)) == []


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        ({"labels": {"a": "b"}}, {"labels": {"b": "a"}}, "labels"),
        ({"labels": {"a": "", "b": ""}}, {"labels": {"a": "b"}}, "labels"),
        ({"metadata": {"a": "\nb"}}, {"metadata": {"a\n": "b"}}, "metadata"),
        ({"ttl": timedelta(0, 10)}, {"ttl": timedelta(0, 11)}, "ttl"),
    ],
)
def test_parts_of_a_field_cannot_be_shifted(one: Any, other: Any, field: str) -> None:
    assert differing(digests(composed(one)), digests(composed(other))) == [field]


@pytest.mark.parametrize("name", ["filename", "media_type", "content_id", "inline", "content"])
def test_attachments_differ_in_any_part(name: str) -> None:
    value: Any = {"inline": True, "content": b"b", "media_type": "a/b"}.get(name, "b")
    one, other = composed(attachments=[FILE]), composed(attachments=[FILE | {name: value}])
    assert differing(digests(one), digests(other)) == ["composed.attachments"]


def test_a_send_time_that_passes_between_two_calls_is_the_same() -> None:
    email = composed({"send_time": NOW + timedelta(minutes=1)})
    assert differing(digests(email), digests(email, timedelta(minutes=2))) == []


def test_composed_and_raw_differ_in_what_each_has() -> None:
    assert differing(digests(composed()), digests(raw())) == [
        "composed.from_address",
        "composed.subject",
        "composed.text_body",
        "composed.to",
        "envelope.recipients",
        "raw_mime",
    ]


def test_the_digests_of_an_email_are_these_until_the_version_is_raised() -> None:
    email = composed({"account_id": "demo", "labels": {"b": "2", "a": "1"}}, cc=[BOX])
    assert {key: digest.hex() for key, digest in digests(email).items()} == PINNED


def test_another_version_cannot_be_compared() -> None:
    other = digests(composed()) | {VERSION_KEY: b"0"}
    assert differing(digests(composed()), other) == [VERSION_KEY]


PINNED = {
    "fingerprint": "31",
    "priority": "3330",
    "account_id": "e214c9d8940e3cb20b285a77",
    "composed.from_address": "63ff13073bedd187ac3cd2ef",
    "composed.to": "11e2600f3ef541dcad33401a",
    "composed.cc": "7c5c2a69db4ac3e845fa997d",
    "composed.subject": "19502b427e1fbf7ebe217e2f",
    "composed.text_body": "67c5956c95f4b7c60c28efbc",
    "labels": "d52d9df0e787e2685338cef3",
}
