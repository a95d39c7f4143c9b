"""Settings: what is read, and the one line that a bad value gives."""

import pytest
from mailproxy_server.settings import Settings, SettingsError, load, misspelt
from mailproxy_server.settings.listen import Listen

KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MAILPROXY_{name.upper()}", raising=False)


def test_with_nothing_set_everything_listens_on_loopback() -> None:
    settings = load()
    assert settings.grpc_listen == Listen("127.0.0.1", 50051)
    assert (settings.fronts, settings.dispatchers) == (1, 1)
    assert settings.max_message_bytes == 32 * 1024 * 1024


def test_every_setting_says_what_it_means() -> None:
    assert not [name for name, field in Settings.model_fields.items() if not field.description]


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("0.0.0.0:1", Listen("0.0.0.0", 1)),
        ("[::1]:50051", Listen("::1", 50051)),
        ("localhost:0", Listen("localhost", 0)),
    ],
)
def test_addresses_are_read_and_written_alike(
    monkeypatch: pytest.MonkeyPatch, text: str, listen: Listen
) -> None:
    monkeypatch.setenv("MAILPROXY_GRPC_LISTEN", text)
    assert load().grpc_listen == listen
    assert str(listen) == text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GRPC_LISTEN", "50051", "host:port"),
        ("GRPC_LISTEN", "::1:50051", "brackets"),
        ("DEMO_LISTEN", "127.0.0.1:65536", "0 to 65535"),
        ("DEMO_LISTEN", "127.0.0.1:-1", "0 to 65535"),
        ("FRONTS", "-1", "greater than or equal to 0"),
        ("FRONTS", "many", "valid integer"),
        ("LEASE_SECONDS", "nan", "MAILPROXY_LEASE_SECONDS"),
        ("DRAIN_SECONDS", "inf", "MAILPROXY_DRAIN_SECONDS"),
        ("HUNG_SECONDS", "2.9", "must be 0, or 3 to 3600"),
        ("MAX_MESSAGE_BYTES", "1", "65536"),
        ("LOG_FORMAT", "xml", "'json'"),
        ("DATABASE_URL", "mysql://hidden@x/y", "postgresql://"),
        ("SECRET_KEY", "hidden", "openssl rand"),
        ("BOOTSTRAP_TOKEN", "hidden", "16 to 512"),
        ("TLS_KEY", "/key", "belong together"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(f"MAILPROXY_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load()
    line = str(caught.value)
    assert f"MAILPROXY_{name}" in line
    assert words in line
    assert "\n" not in line
    assert "hidden" not in line


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILPROXY_SECRET_KEY", KEY)
    monkeypatch.setenv("MAILPROXY_DATABASE_URL", "postgresql://me:hidden@x/y")
    monkeypatch.setenv("MAILPROXY_BOOTSTRAP_TOKEN", "hidden-hidden-hidden")
    shown = repr(load())
    assert "hidden" not in shown
    assert KEY not in shown


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILPROXY_DATABASE_URL", "")
    assert load().database_url is None


def test_a_misspelt_variable_is_told_and_a_foreign_one_is_not() -> None:
    environment = {
        "MAILPROXY_DATABSE_URL": "postgresql://x/y",
        "MAILPROXY_PORT": "tcp://10.0.0.1:50051",
        "MAILPROXY_FRONTS": "1",
        "HOME": "/",
    }
    assert misspelt(environment) == [
        "MAILPROXY_DATABSE_URL is not a setting: did you mean MAILPROXY_DATABASE_URL?"
    ]
