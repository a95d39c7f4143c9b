"""Reads a PostgreSQL connection URL as libpq (psql) does, and prepares it for asyncpg.

asyncpg hands every parameter that it does not know to the server, which then refuses the session.
So the parameters that are about the client's side (time-outs, keepalive, the order of hosts) are
taken out and kept as values, those that mean nothing to asyncpg are dropped, those that it cannot
honour are refused, and an unknown one is refused by its name, as libpq does. PG* variables, a
password file and a service file count where the URL is silent; asyncpg reads these for itself.

Source: PostgreSQL 18, "34.1.1 Connection Strings" and "34.1.2 Parameter Key Words".
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, unquote

SCHEMES = ("postgresql://", "postgres://")
CONNECT_SECONDS = 5.0
"""For one host to answer, where the URL and PGCONNECT_TIMEOUT say nothing. libpq waits for ever."""
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""Seconds of silence before the first probe, between probes, and how many: a host that vanished is
noticed within 25 s on a connection that only waits."""
USER_TIMEOUT_MS = 15_000
"""Milliseconds that what was sent may stay unacknowledged before the connection counts as lost."""

_ASYNCPG = frozenset(
    [
        "dbname",
        "database",
        "user",
        "password",
        "passfile",
        "sslmode",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslnegotiation",
        "sslcrl",
        "sslpassword",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "krbsrvname",
        "gsslib",
        "service",
    ]
)
_SESSION = frozenset({"application_name", "options"})
_DROPPED = frozenset(
    [
        "client_encoding",
        "sslcompression",
        "sslsni",
        "gssdelegation",
        "min_protocol_version",
        "max_protocol_version",
        "sslcertmode",
        "sslkeylogfile",
        "fallback_application_name",
    ]
)
"""Without effect here: the encoding is always UTF8, the rest asyncpg does in its own way."""
_ONLY: Mapping[str, frozenset[str]] = {
    "gssencmode": frozenset({"disable", "prefer"}),
    "channel_binding": frozenset({"disable", "prefer"}),
    "replication": frozenset({"false", "off", "no", "0"}),
}
"""Values that ask for nothing which asyncpg cannot do."""
_REFUSED = frozenset(
    {"requirepeer", "require_auth", "oauth_issuer", "sslcrldir", "scram_client_key"}
)
"""Checks that would silently not be made."""
_NUMBERS = (*KEEPALIVE, "tcp_user_timeout", "connect_timeout")
_OTHERS = ("host", "hostaddr", "port", "target_session_attrs", "load_balance_hosts", "ssl")
_KNOWN = sorted({*_ASYNCPG, *_SESSION, *_DROPPED, *_ONLY, *_NUMBERS, *_OTHERS})

Host = tuple[str | None, int | None]
"""A host name, address or socket folder, and its port; None: by PGHOST, PGPORT and the defaults."""
Target = Literal["any", "primary", "read-write"]


class DsnError(ValueError):
    """The URL is not one that can be used; the text names the parameter and never a secret."""


@dataclass(frozen=True, slots=True)
class Dsn:
    """A connection URL, read.

    `url` is what asyncpg takes it for, without hosts; `hosts` are tried in turn, in random order if
    `shuffled`. `keepalive` has libpq's names, seconds and counts; `user_timeout_ms` is for
    TCP_USER_TIMEOUT; 0 leaves the system's default. `connect_seconds` is for each host. `session`
    goes into the start of the session: application_name and options. `system_roots`: the server's
    certificate is judged by the system's authorities (sslrootcert=system).
    """

    url: str = field(repr=False)
    hosts: tuple[Host, ...]
    target: Target = "read-write"
    shuffled: bool = False
    connect_seconds: float = CONNECT_SECONDS
    keepalive: Mapping[str, int] = field(default_factory=lambda: KEEPALIVE)
    user_timeout_ms: int = USER_TIMEOUT_MS
    session: Mapping[str, str] = field(default_factory=dict)
    system_roots: bool = False


def parse(url: str, environment: Mapping[str, str] = os.environ) -> Dsn:
    """Read a URL; raises DsnError."""
    scheme = next((each for each in SCHEMES if url.startswith(each)), None)
    if scheme is None:
        raise DsnError("must be postgresql://user:password@host/database")
    rest, _, query = url.removeprefix(scheme).partition("?")
    authority, slash, database = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    given = _query(query)
    _refuse_what_cannot_be(given)
    try:
        names = _hosts(hosts, given, environment)
    except ValueError:
        raise DsnError(
            "a port is a number from 1 to 65535, and hosts and ports are paired"
        ) from None
    kept = {name: value for name, value in given.items() if name in _ASYNCPG}
    if given.get("ssl") == "true":
        kept.setdefault("sslmode", "require")
    system_roots = kept.get("sslrootcert") == "system"
    if system_roots:
        del kept["sslrootcert"]
        if kept.pop("sslmode", "verify-full") != "verify-full":
            raise DsnError("sslrootcert=system needs sslmode=verify-full")
    keepalive = {name: _number(given, name, default) for name, default in KEEPALIVE.items()}
    waits = _number(
        _of(environment, "connect_timeout", "PGCONNECT_TIMEOUT") | given, "connect_timeout"
    )
    encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in kept.items())
    return Dsn(
        f"postgresql://{user}{at}{slash}{database}" + (f"?{encoded}" if encoded else ""),
        names,
        _target(_of(environment, "target_session_attrs", "PGTARGETSESSIONATTRS") | given),
        given.get("load_balance_hosts") == "random",
        float(waits) or CONNECT_SECONDS,
        keepalive,
        _number(given, "tcp_user_timeout", USER_TIMEOUT_MS),
        {name: value for name, value in given.items() if name in _SESSION and value},
        system_roots,
    )


def _query(text: str) -> dict[str, str]:
    """Take the parameters apart; as in libpq a plus sign is one, and the last of two counts."""
    given = {}
    for part in filter(None, text.split("&")):
        name, equals, value = part.partition("=")
        name = unquote(name)
        if not equals:
            raise DsnError(f"parameter {name!r} has no value")
        if name not in _KNOWN and name not in _REFUSED:
            near = difflib.get_close_matches(name, _KNOWN, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DsnError(f"unknown parameter {name!r}{hint}")
        given[name] = unquote(value)
    return given


def _refuse_what_cannot_be(given: Mapping[str, str]) -> None:
    for name in sorted(_REFUSED & given.keys()):
        raise DsnError(f"parameter {name!r} is not supported: remove it")
    for name, values in _ONLY.items():
        if given.get(name, next(iter(values))) not in values:
            raise DsnError(f"{name} may be {' or '.join(sorted(values))}: this driver has no other")
    if given.get("ssl", "true") != "true":
        raise DsnError("ssl may be true; use sslmode")
    if given.get("load_balance_hosts", "disable") not in {"disable", "random"}:
        raise DsnError("load_balance_hosts may be disable or random")
    if "hostaddr" in given and given.get("sslmode") == "verify-full":
        raise DsnError("hostaddr and sslmode=verify-full do not go together here: name the host")


def _hosts(
    authority: str, given: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[Host, ...]:
    """Pair hosts and ports; raises ValueError. A host among the parameters counts, as in libpq."""
    pairs = [_host(each) for each in authority.split(",")] if authority else []
    names: list[str | None] = [name for name, _ in pairs]
    ports = [port for _, port in pairs]
    named = given.get("hostaddr") or given.get("host")
    if not pairs and not named:
        named = environment.get("PGHOST")
    if named:
        names = [each or None for each in named.split(",")]
        ports = [None] * len(names)
    if "service" in given and not any(names):
        return ((None, None),)
    wanted = given.get("port") or ("" if any(ports) else environment.get("PGPORT", ""))
    if wanted:
        numbers = [_port(each) for each in wanted.split(",")]
        ports = numbers * len(names or [None]) if len(numbers) == 1 else numbers
    names = names or [None]
    ports = ports or [None] * len(names)
    return tuple(zip(names, ports, strict=True))


def _host(text: str) -> Host:
    """Read host, host:port, [v6]:port or a socket's folder with %2F."""
    if text.startswith("["):
        name, _, after = text[1:].partition("]")
        port = after.removeprefix(":")
    else:
        name, _, port = text.partition(":")
    return unquote(name) or None, _port(port) if port else None


def _port(text: str) -> int | None:
    if not text:
        return None
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError(text)
    return port


def _target(given: Mapping[str, str]) -> Target:
    """Give what a host must be. We write, so a standby will not do, whatever was asked for."""
    wanted = given.get("target_session_attrs", "read-write")
    if wanted in {"any", "primary", "read-write"}:
        found: Any = wanted
        return found  # type: ignore[no-any-return]
    if wanted in {"standby", "prefer-standby", "read-only"}:
        raise DsnError(f"target_session_attrs={wanted} leads to a standby, which takes no mail")
    raise DsnError("target_session_attrs may be any, primary or read-write")


def _of(environment: Mapping[str, str], name: str, variable: str) -> dict[str, str]:
    value = environment.get(variable)
    return {name: value} if value else {}


def _number(given: Mapping[str, str], name: str, default: int = 0) -> int:
    value = given.get(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError:
        raise DsnError(f"{name} is a whole number") from None
    if not 0 <= number < 2**31:
        raise DsnError(f"{name} is a whole number from 0 on")
    return number
