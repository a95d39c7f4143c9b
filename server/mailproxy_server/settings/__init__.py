"""Owns every setting: name, meaning, unit, default, limits. Read from MAILPROXY_* variables.

Nothing below the floor of `app` sees this: lower rooms take plain arguments. A bad value is one
line that names the variable and what it may be, and never repeats a secret.
"""

import base64
import binascii
import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from mailproxy_server.queue import dsn
from mailproxy_server.settings.content import ContentSettings
from mailproxy_server.settings.filed import with_files
from mailproxy_server.settings.listen import Address, Listen
from mailproxy_server.settings.watching import WatchingSettings, check_token

PREFIX = "MAILPROXY_"
_MIB = 1024 * 1024


class SettingsError(Exception):
    """A setting has a value that it may not have; the text is one line with the remedy."""


class Settings(ContentSettings, WatchingSettings):
    """All settings of the server. `load` gives them; each variable is MAILPROXY_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        enable_decoding=False,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    database_url: SecretStr | None = None
    """PostgreSQL 15 to 18, as postgresql://user:password@host/database, with the parameters that
    psql takes. Unset: an embedded one."""

    database_direct_url: SecretStr | None = None
    """The same database without PgBouncer, where database_url leads through one in transaction
    mode: for notifications and migrations. Set, it switches prepared statements off."""

    database_url_file: Path | None = None
    """File that holds database_url, as a container's secret; read anew for each connection."""

    database_direct_url_file: Path | None = None
    """File that holds database_direct_url."""

    require_synchronous: bool = False
    """Take and send mail only while PostgreSQL's synchronous_standby_names is not empty, so that
    a failover loses nothing that was answered."""

    data_dir: Path | None = None
    """Folder of the embedded database, the token and the key. Unset: /var/lib/mailproxy as root,
    else $XDG_STATE_HOME/mailproxy or ~/.local/state/mailproxy."""

    grpc_listen: Address = Listen("127.0.0.1", 50051)
    """Where gRPC is served, host:port."""

    demo: bool = False
    """Run the demo beside the server: an inbox that catches everything, and sample messages."""

    demo_listen: Address = Listen("127.0.0.1", 1025)
    """Where the demo's inbox takes SMTP, host:port."""

    fronts: int = Field(default=1, ge=0, le=64)
    """Processes that serve gRPC."""

    dispatchers: int = Field(default=1, ge=0, le=64)
    """Processes that send."""

    max_message_bytes: int = Field(default=32 * _MIB, ge=64 * 1024, le=512 * _MIB)
    """Bytes of the largest request that is taken in."""

    inflight_bytes: int = Field(default=128 * _MIB, ge=_MIB, le=64 * 1024 * _MIB)
    """Bytes of requests that one front holds at once, a quarter of them those of uploads. Room for
    the largest (max_message_bytes) is taken before one is read; who finds none within 5 s gets
    RESOURCE_EXHAUSTED. In work they take about four times as much memory."""

    body_seconds: float = Field(default=60, ge=1, le=3600)
    """Seconds within which a request must have come whole, once it is being read."""

    connection_streams: int = Field(default=1000, ge=10, le=100_000)
    """Calls and streams that one connection may have open at once; gRPC clients hold back more."""

    queue_depth: int = Field(default=1_000_000, ge=1, le=1_000_000_000)
    """Recipients of one tenant that may wait; past it RESOURCE_EXHAUSTED."""

    lease_seconds: float = Field(default=30, ge=1, le=3600)
    """Seconds without a heartbeat after which a dispatcher counts as dead."""

    poll_seconds: float = Field(default=30, ge=0.05, le=3600)
    """Seconds between looks at the queue when no notification comes."""

    sweep_seconds: float = Field(default=30, ge=0.05, le=3600)
    """Seconds between full sweeps, which find what notifications and polls passed over."""

    outbox_poll_seconds: float = Field(default=0.1, ge=0.01, le=3600)
    """Seconds between looks at the outbox, for rows that no notification announces."""

    drain_seconds: float = Field(default=20, ge=0, le=3600)
    """Seconds that calls and sends in flight have to end after SIGTERM."""

    hung_seconds: float = Field(default=30, ge=0, le=3600)
    """Seconds without a sign of life, which each process gives once a second, after which the
    supervisor kills a process and starts it again; 3 or more. Until it serves it has a minute more.
    0: never, for instance while a debugger stops it."""

    oldest_share: float = Field(default=0, ge=0, le=1)
    """Part of what is sent that goes by age alone, whatever its priority, so that a steady flood
    of urgent mail cannot hold back the rest for ever. 0: priority is strict."""

    connection_share: float = Field(default=1, gt=0, le=1)
    """Part of an account's max_connections that each dispatcher may take, at least one
    connection. With N dispatchers over all replicas, 1/N holds max_connections over all of them."""

    statement_timeout_seconds: float = Field(default=10, ge=0.1, le=600)
    """Seconds that one statement may take in the database."""

    retention_report_days: int = Field(default=30, ge=7, le=3650)
    """Days that delivery reports are kept; longer while a message as old as they is under way."""

    retention_message_days: int = Field(default=30, ge=7, le=3650)
    """Days that messages and their request_ids are kept, at least as long as their reports."""

    retention_content_hours: float | None = Field(default=None, ge=0, le=87_600)
    """Hours that a message's content is kept after its final state; 0: it goes at once, and
    RetryMessage is not possible. Unset: as long as the message."""

    max_streams: int = Field(default=1000, ge=1, le=100_000)
    """Streams that one front serves at once; past it RESOURCE_EXHAUSTED."""

    reflection: bool = True
    """Whether gRPC reflection is served, which grpcurl and `buf curl` use."""

    secret_key: SecretStr | None = None
    """32 bytes in base64 that encrypt SMTP passwords at rest. Unset: `secret.key` in the data
    directory, made at the first start."""

    secret_key_file: Path | None = None
    """File that holds secret_key."""

    bootstrap_token: SecretStr | None = None
    """Token of the first tenant, 16 to 512 printable characters, in an empty database. Unset: a
    random one, written to `token` in the data directory."""

    bootstrap_token_file: Path | None = None
    """File that holds the bootstrap token, as a container's secret."""

    settle_gather_ms: float = Field(default=10, ge=0, le=1000)
    """Milliseconds that outcomes are gathered before they are written together."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """How logs look on stderr; auto: console on a terminal, else JSON."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""

    tls_certificate: Path | None = None
    """PEM file of the certificate chain for gRPC; together with tls_key. Unset: clear text."""

    tls_key: Path | None = None
    """PEM file of the certificate's private key."""

    @model_validator(mode="before")
    @classmethod
    def _with_files(cls, given: Any) -> Any:
        return with_files(given) if isinstance(given, dict) else given

    @field_validator("log_format", "log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("hung_seconds")
    @classmethod
    def _is_patient(cls, value: float) -> float:
        if 0 < value < 3:
            raise ValueError("must be 0, or 3 to 3600")
        return value

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            dsn.parse(value.get_secret_value())
        return value

    @field_validator("secret_key")
    @classmethod
    def _is_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            parse_key(value.get_secret_value())
        return value

    @field_validator("bootstrap_token")
    @classmethod
    def _is_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            check_token(value.get_secret_value())
        return value


def parse_key(text: str) -> bytes:
    """Give the 32 bytes of a key in base64 (either alphabet); raises ValueError."""
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise ValueError("must be 32 bytes in base64, as `openssl rand -base64 32` makes")
    return key


def load() -> Settings:
    """Read the settings from the environment; raises SettingsError."""
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsError(_line(error)) from None
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise SettingsError(
            f"{PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY belong together: set both or neither"
        )
    return settings


def misspelt(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Give a line for each variable that looks like a setting's but is none."""
    names = [PREFIX + name.upper() for name in Settings.model_fields]
    lines = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.85)
            lines += [f"{name} is not a setting: did you mean {near[0]}?" for _ in near]
    return lines


def _line(error: ValidationError) -> str:
    parts = []
    for fault in error.errors(include_url=False, include_input=False):
        words = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
        of = [f"{PREFIX}{str(name).upper()}" for name in fault["loc"][:1]]
        parts.append(" ".join([*of, words]))
    return "; ".join(parts)
