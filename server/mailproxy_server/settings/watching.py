"""The settings of what operators see: the HTTP port, logs, traces."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mailproxy_server.settings.listen import AddressOrOff, Listen


def parse_hosts(value: object) -> object:
    """Read host names that are separated by commas; raises ValueError."""
    if not isinstance(value, str):
        return value
    hosts = tuple(part.strip().lower() for part in value.split(",") if part.strip())
    for host in hosts:
        if "/" in host or ":" in host:
            raise ValueError(f"{host!r} is not a host name; give names without scheme and port")
    return hosts


class WatchingSettings(BaseSettings):
    """What there is to see, for whom, and in which words."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    http_listen: AddressOrOff = Listen("127.0.0.1", 8080)
    """Where the page, the metrics and the health checks are served, host:port; off: nowhere."""

    http_token: SecretStr | None = None
    """Token for the page and the metrics, 16 to 512 printable characters; it sees all tenants.
    Unset: they are for this machine alone."""

    http_token_file: Path | None = None
    """File that holds the HTTP token, as a container's secret."""

    http_hosts: Annotated[tuple[str, ...], BeforeValidator(parse_hosts), NoDecode] = ()
    """Names, separated by commas, by which browsers may reach the HTTP port besides localhost and
    its addresses; all others are refused, against DNS rebinding."""

    metrics_open: bool = False
    """Whether /metrics needs no token, for a port that only Prometheus reaches."""

    delivery_activity: bool = False
    """Whether each thing that happens to a delivery is logged: attempts, sent, failed."""

    log_addresses: bool = False
    """Whether addresses stand in logs as they are; else only their domains do."""

    trace_url: str = ""
    """Address of a trace in your tracing tool, with {trace_id} in it; the page links to it."""

    trace_sql: bool = False
    """Whether statements have spans too, while OTEL_* variables switch tracing on."""

    @field_validator("trace_url")
    @classmethod
    def _is_trace_url(cls, value: str) -> str:
        if value and not (value.startswith(("https://", "http://")) and "{trace_id}" in value):
            raise ValueError("must be an http(s) address with {trace_id} in it")
        return value

    @field_validator("http_token")
    @classmethod
    def _is_http_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            check_token(value.get_secret_value())
        return value


def check_token(token: str) -> None:
    """Raise ValueError unless `token` can be a bearer token."""
    if not (
        16 <= len(token) <= 512 and token.isascii() and token.isprintable() and " " not in token
    ):
        raise ValueError("must be 16 to 512 printable ASCII characters without spaces")
