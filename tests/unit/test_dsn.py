"""What URLs are taken, as psql takes them, and what is refused by name."""

import pytest
from mailproxy_server.queue.dsn import KEEPALIVE, DsnError, Host, parse

NONE: dict[str, str] = {}


@pytest.mark.parametrize(
    ("url", "environment", "hosts"),
    [
        ("postgresql://u:p@db/mail", NONE, [("db", None)]),
        ("postgres://db:5433/mail", NONE, [("db", 5433)]),
        ("postgresql://u@a:1,b:2,c/mail", NONE, [("a", 1), ("b", 2), ("c", None)]),
        ("postgresql://a,b/mail?port=7", NONE, [("a", 7), ("b", 7)]),
        ("postgresql:///mail?host=a,b&port=1,2", NONE, [("a", 1), ("b", 2)]),
        (
            "postgresql://[2001:db8::1]:5433,[::1]/mail",
            NONE,
            [("2001:db8::1", 5433), ("::1", None)],
        ),
        ("postgresql://%2Frun%2Fpostgresql/mail", NONE, [("/run/postgresql", None)]),
        ("postgresql://u@/mail?host=/run/postgresql&port=5433", NONE, [("/run/postgresql", 5433)]),
        ("postgresql://u@/mail", NONE, [(None, None)]),
        ("postgresql:///mail", {"PGHOST": "a,b", "PGPORT": "1,2"}, [("a", 1), ("b", 2)]),
        ("postgresql://a/mail", {"PGHOST": "b", "PGPORT": "9"}, [("a", 9)]),
        ("postgresql://a:5/mail", {"PGPORT": "9"}, [("a", 5)]),
        ("postgresql://name/mail?hostaddr=10.0.0.1", NONE, [("10.0.0.1", None)]),
        ("postgresql:///mail?service=prod", {"PGHOST": "b"}, [("b", None)]),
        ("postgresql:///?service=prod", NONE, [(None, None)]),
    ],
)
def test_hosts_and_ports_are_paired_as_libpq_does(
    url: str, environment: dict[str, str], hosts: list[Host]
) -> None:
    assert list(parse(url, environment).hosts) == hosts


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("sslmode=verify-full&sslrootcert=%2Fca.pem", "sslmode=verify-full&sslrootcert=%2Fca.pem"),
        ("ssl=true", "sslmode=require"),
        ("passfile=%2Fa%20b", "passfile=%2Fa%20b"),
        ("password=a%2Bb+c%26", "password=a%2Bb%2Bc%26"),  # a plus sign is no blank in libpq
        ("connect_timeout=3&keepalives_idle=7&tcp_user_timeout=900&options=-c%20jit%3Doff", ""),
        ("gssencmode=prefer&channel_binding=prefer&client_encoding=utf8&sslcompression=0", ""),
    ],
)
def test_asyncpg_gets_what_it_knows_and_nothing_else(query: str, left: str) -> None:
    given = parse(f"postgresql://u:p%40@h/db?{query}", NONE).url
    assert given == "postgresql://u:p%40@/db" + (f"?{left}" if left else "")


def test_what_is_about_the_clients_side_is_kept_as_values() -> None:
    dsn = parse(
        "postgresql://h/db?connect_timeout=3&keepalives_idle=7&tcp_user_timeout=900"
        "&application_name=shop&options=-c%20work_mem%3D64MB&target_session_attrs=primary"
        "&load_balance_hosts=random",
        NONE,
    )
    assert (dsn.connect_seconds, dsn.user_timeout_ms) == (3.0, 900)
    assert dsn.keepalive == {**KEEPALIVE, "keepalives_idle": 7}
    assert dsn.session == {"application_name": "shop", "options": "-c work_mem=64MB"}
    assert (dsn.target, dsn.shuffled) == ("primary", True)


def test_the_environment_counts_where_the_url_is_silent() -> None:
    variables = {"PGCONNECT_TIMEOUT": "7", "PGTARGETSESSIONATTRS": "primary"}
    assert parse("postgresql://h/db", variables).connect_seconds == 7
    assert parse("postgresql://h/db?connect_timeout=2", variables).connect_seconds == 2
    assert parse("postgresql://h/db", variables).target == "primary"
    assert parse("postgresql://h/db?target_session_attrs=any", variables).target == "any"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must be postgresql://"),
        ("mysql://h/db", "must be postgresql://"),
        ("postgresql://u:secret@h/db?sslmod=require", "did you mean 'sslmode'"),
        ("postgresql://u:secret@h/db?nonsense=1", "unknown parameter 'nonsense'"),
        ("postgresql://u:secret@h/db?sslmode", "'sslmode' has no value"),
        ("postgresql://u:secret@h:port/db", "port"),
        ("postgresql://u:secret@h:70000/db", "port"),
        ("postgresql://u:secret@a,b,c/db?port=1,2", "paired"),
        ("postgresql://u:secret@h/db?connect_timeout=soon", "connect_timeout is a whole number"),
        ("postgresql://u:secret@h/db?connect_timeout=-1", "connect_timeout is a whole number"),
        ("postgresql://u:secret@h/db?gssencmode=require", "gssencmode may be"),
        ("postgresql://u:secret@h/db?channel_binding=require", "channel_binding may be"),
        ("postgresql://u:secret@h/db?replication=database", "replication may be"),
        (
            "postgresql://u:secret@h/db?require_auth=scram-sha-256",
            "'require_auth' is not supported",
        ),
        ("postgresql://u:secret@h/db?target_session_attrs=standby", "takes no mail"),
        ("postgresql://u:secret@h/db?target_session_attrs=best", "may be any, primary"),
        ("postgresql://u:secret@h/db?load_balance_hosts=yes", "disable or random"),
        ("postgresql://u:secret@h/db?sslrootcert=system&sslmode=prefer", "sslmode=verify-full"),
        ("postgresql://u:secret@h/db?hostaddr=1.2.3.4&sslmode=verify-full", "do not go together"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name_and_without_the_password(
    url: str, words: str
) -> None:
    with pytest.raises(DsnError) as caught:
        parse(url, NONE)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_password_is_in_the_repr() -> None:
    assert "hunter2" not in repr(parse("postgresql://u:hunter2@h/db", NONE))
