from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2 as pb
from mailproxy_server.mail.errors import InvalidFields
from mailproxy_server.rpc.account_rules import RULES
from mailproxy_server.rpc.account_values import loopback
from mailproxy_server.rpc.account_whole import checked_id, columns_of, completed, to_update


@pytest.mark.parametrize(
    ("field", "value", "column"),
    [
        ("host", "Smtp.Example.COM", "smtp.example.com"),
        ("host", "mail_relay", "mail_relay"),
        ("host", "::1", "::1"),
        ("host", "192.0.2.1", "192.0.2.1"),
        ("port", 0, 0),
        ("port", 65535, 65535),
        ("tls", pb.TLS_MODE_UNSPECIFIED, "starttls"),
        ("tls", pb.TLS_MODE_IMPLICIT, "implicit"),
        ("username", "ann@example.com", "ann@example.com"),
        ("ehlo_name", "", ""),
        ("ehlo_name", "[192.0.2.1]", "[192.0.2.1]"),
        ("ehlo_name", "[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ("ehlo_name", "mx.example.com", "mx.example.com"),
        ("max_connections", 0, 10),
        ("max_connections", 1000, 1000),
        ("max_recipients_per_transaction", 0, 50),
        ("max_messages_per_connection", 0, 0),
        ("idle_ttl", Duration(), 300.0),
        ("idle_ttl", Duration(seconds=1, nanos=500_000_000), 1.5),
        ("disable_pipelining", True, False),
    ],
)
def test_a_field_is_kept_as(field: str, value: Any, column: Any) -> None:
    assert RULES[field][1](value) == column


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("host", "", "required"),
        ("host", "smtp.example.com:587", "the port apart"),
        ("host", "[::1]", "without brackets"),
        ("host", "a..b", "not a host name"),
        ("host", "-a.example", "not a host name"),
        ("host", "999.1.1.1", "not a host name"),
        ("host", "größe.example", "xn--"),
        ("host", "a\r\nb", "not a host name"),
        ("host", "a.b\n", "not a host name"),
        ("host", "a" * 254, "not a host name"),
        ("port", -1, "1 to 65535"),
        ("host", "a" * 63 + "!", "not a host name"),  # would take years if labels were ambiguous
        ("host", "a." * 126 + "!", "not a host name"),
        ("port", 65536, "1 to 65535"),
        ("tls_ca_certificates", "no pem", "PEM"),
        ("tls_ca_certificates", "x" * 65537, "64 KiB"),
        ("username", "a\x00b", "control"),
        ("username", "a" * 321, "320"),
        ("password", "a\nb", "control"),
        ("ehlo_name", "a b", "address literal"),
        ("ehlo_name", "[not.an.address]", "address literal"),
        ("max_connections", 1001, "1 to 1,000"),
        ("max_connections", -1, "1 to 1,000"),
        ("max_recipients_per_transaction", 1001, "1 to 1,000"),
        ("max_messages_per_connection", -1, "must be 0"),
        ("idle_ttl", Duration(seconds=3601), "1 s to 1 h"),
        ("idle_ttl", Duration(nanos=1), "1 s to 1 h"),
        ("idle_ttl", Duration(seconds=-5), "1 s to 1 h"),
    ],
)
def test_a_field_is_refused_in_words_that_name_the_limit(
    field: str, value: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        RULES[field][1](value)


def test_every_faulty_field_is_named_with_its_path() -> None:
    account = pb.Account(host="a b", port=-1, max_connections=5000)
    with pytest.raises(InvalidFields) as caught:
        columns_of(account, RULES)
    assert {one.field for one in caught.value.violations} == {
        "account.host",
        "account.port",
        "account.max_connections",
    }


def test_an_enum_number_that_is_not_known_is_an_unknown_field() -> None:
    account = pb.Account()
    account.MergeFromString(b"\x20\x63")  # tls = 99
    with pytest.raises(InvalidFields) as caught:
        columns_of(account, ["host"])
    assert caught.value.reason == "UNKNOWN_FIELD"


@pytest.mark.parametrize("account_id", ["a", "9", "demo.eu-1_x", "a" * 63])
def test_an_account_id_may_be(account_id: str) -> None:
    assert checked_id(pb.Account(account_id=account_id)) == account_id


@pytest.mark.parametrize("account_id", ["", "A", ".a", "-a", "a b", "a" * 64, "a\n", "ä"])
def test_an_account_id_may_not_be(account_id: str) -> None:
    with pytest.raises(InvalidFields, match=r"account\.account_id"):
        checked_id(pb.Account(account_id=account_id))


@pytest.mark.parametrize(
    ("mask", "fields"),
    [
        ((), ("host", "password")),
        (("port", "etag", "port"), ("port",)),
        (("*",), tuple(RULES)),
        (("account_id",), ()),
    ],
)
def test_an_update_changes(mask: tuple[str, ...], fields: tuple[str, ...]) -> None:
    account = pb.Account(account_id="a", host="h", password="p", etag="r1")
    assert to_update(account, mask) == fields


@pytest.mark.parametrize("mask", [("hosst",), ("account.host",), ("*", "host"), ("",)])
def test_a_mask_that_names_no_field_is_refused(mask: tuple[str, ...]) -> None:
    with pytest.raises(InvalidFields, match="update_mask"):
        to_update(pb.Account(), mask)


@pytest.mark.parametrize(
    ("tls", "port"), [(0, 587), (pb.TLS_MODE_IMPLICIT, 465), (pb.TLS_MODE_NONE, 25)]
)
def test_the_default_port_follows_the_tls_mode(tls: pb.TlsMode.ValueType, port: int) -> None:
    columns = completed(columns_of(pb.Account(host="h", tls=tls), RULES), None)
    assert columns["port"] == port


def test_credentials_without_tls_are_refused_but_on_loopback() -> None:
    account = pb.Account(host="relay.example", tls=pb.TLS_MODE_NONE, username="u", password="p")
    with pytest.raises(InvalidFields, match=r"account\.tls"):
        completed(columns_of(account, RULES), None)
    account.host = "127.0.0.1"
    assert completed(columns_of(account, RULES), None)["port"] == 25


def test_a_password_without_a_username_is_refused() -> None:
    with pytest.raises(InvalidFields, match=r"account\.username"):
        completed(columns_of(pb.Account(host="h", password="p"), RULES), None)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("smtp.localhost", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost.example", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_loopback_is(host: str, here: bool) -> None:
    assert loopback(host) is here
