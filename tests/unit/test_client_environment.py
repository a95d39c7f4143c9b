import os
from pathlib import Path

import pytest
from mailproxy import channel, environment
from mailproxy.tracing import current_traceparent


def test_the_token_is_looked_for_in_order(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("left\n")
    (tmp_path / "named").write_text("named\n")
    given = {"MAILPROXY_DATA_DIR": str(tmp_path)}
    assert environment.token(given) == "left"
    given["MAILPROXY_TOKEN_FILE"] = str(tmp_path / "named")
    assert environment.token(given) == "named"
    given["MAILPROXY_TOKEN"] = " said "
    assert environment.token(given) == "said"


def test_no_token_anywhere_is_none_but_a_named_file_must_be_there(tmp_path: Path) -> None:
    assert environment.token({"MAILPROXY_DATA_DIR": str(tmp_path)}) is None
    with pytest.raises(FileNotFoundError):
        environment.token({"MAILPROXY_TOKEN_FILE": str(tmp_path / "none")})


def test_the_data_directory_depends_on_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert environment.data_directory({}) == Path("/var/lib/mailproxy")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert environment.data_directory({"XDG_STATE_HOME": "/s"}) == Path("/s/mailproxy")
    assert environment.data_directory({}) == Path.home() / ".local/state/mailproxy"


def test_the_target_has_a_default_and_tls_is_asked_for() -> None:
    assert environment.target({}) == "127.0.0.1:50051"
    assert environment.target({"MAILPROXY_TARGET": "mail:443"}) == "mail:443"
    assert environment.tls({}) is None
    assert environment.tls({"MAILPROXY_TLS": "1"}) is True


def test_a_token_that_cannot_be_one_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="token") as caught:
        channel.call_metadata("-----BEGIN KEY-----\nsecret")
    assert "secret" not in str(caught.value)


def test_the_trace_context_of_the_current_span_travels() -> None:
    from opentelemetry import trace

    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert current_traceparent() == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    assert current_traceparent() == ""
