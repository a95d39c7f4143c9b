"""How accounts, how they fare, and presets are shown."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from mailproxy.limits import written
from mailproxy.v1 import account_pb2, delivery_pb2

from mailproxy_server.cli import output
from mailproxy_server.cli.presets import PRESETS

Row = tuple[str, str]

_PLAIN = frozenset(
    field.name
    for field in account_pb2.Account.DESCRIPTOR.fields
    if field.message_type is None
    and field.name
    not in ("fallback_account_ids", "limit_behavior", "dkim_unsigned_headers", "etag")
)
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def print_account(
    account: account_pb2.Account, health: account_pb2.AccountHealth | None, as_json: bool
) -> None:
    """Print an account and, where it is known, how it fares."""
    known = health if health is not None and health.ByteSize() else None
    if as_json:
        fares = {} if known is None else {"health": output.as_json(known)}
        output.print_json(output.as_json(account) | fares)
        return
    rows = [*_settings(account)]
    if known is not None:
        rows += [("", ""), *_health(known)]
    output.print_table(f"Account {account.account_id}", ("", ""), rows)
    if account.username and not account.has_password and not account.HasField("oauth"):
        print(f"It has no password. Try: mailproxy account set {account.account_id} --password")


def print_presets(as_json: bool) -> None:
    """Print all presets."""
    if as_json:
        output.print_json({name: asdict(preset) for name, preset in PRESETS.items()})
        return
    for name, preset in PRESETS.items():
        rows = [
            ("host", f"{', '.join(preset.hosts.values()) or preset.host}, port 587, starttls"),
            ("max_connections", str(preset.max_connections)),
            ("max_recipients", f"{preset.max_recipients} per transaction"),
            ("max_messages", f"{preset.max_messages or 'no limit'} per connection"),
            ("limits", ", ".join(preset.limits) or "none"),
            ("note", preset.note),
            *(("source", source) for source in preset.sources),
        ]
        output.print_table(f"{name}: {preset.title}", ("", ""), rows)


def tls_of(account: account_pb2.Account) -> str:
    """Give the name of an account's TLS mode."""
    return output.name(account_pb2.TlsMode, account.tls, "TLS_MODE_").lower()


def length(value: Duration) -> str:
    """Give a length of time as options take it, as "90s" or "5d"."""
    seconds = value.ToTimedelta() / timedelta(seconds=1)
    unit, size = next(
        ((unit, size) for unit, size in _UNITS.items() if seconds >= size and seconds % size == 0),
        ("s", 1),
    )
    return f"{seconds / size:g}{unit}"


def _settings(account: account_pb2.Account) -> Iterator[Row]:
    for field, value in account.ListFields():
        if field.name in _PLAIN:
            yield field.name, tls_of(account) if field.name == "tls" else str(value)
    yield "idle_ttl", length(account.idle_ttl)
    behavior = output.name(account_pb2.LimitBehavior, account.limit_behavior, "LIMIT_BEHAVIOR_")
    for limit in account.limits:
        yield "limit", f"{written(limit)}, then {behavior.lower()}"
    yield "retry", _retry(account.retry)
    if account.fallback_account_ids:
        patience = length(account.failover_patience)
        yield "fallbacks", f"{', '.join(account.fallback_account_ids)} after {patience}"
    if account.HasField("oauth"):
        yield "oauth", _oauth(account.oauth)
    for endpoint in account.attachment_endpoints:
        auth = output.name(account_pb2.EndpointAuth, endpoint.auth, "ENDPOINT_AUTH_").lower()
        yield "endpoint", f"{endpoint.name}: {endpoint.url}, authentication: {auth}"
    unsigned = ", ".join(account.dkim_unsigned_headers)
    for key in account.dkim_keys:
        algorithm = output.name(account_pb2.DkimAlgorithm, key.algorithm, "DKIM_ALGORITHM_")
        left_out = f", without {unsigned}" if unsigned else ""
        yield "dkim", f"{key.selector} of {key.domain}, {algorithm.lower()}{left_out}"
    yield "etag", account.etag


def _retry(retry: account_pb2.RetryPolicy) -> str:
    most = f" or {retry.max_attempts} attempts" if retry.max_attempts else ""
    return (
        f"after {length(retry.first_delay)}, each delay {retry.factor:g} times the last, at most "
        f"{length(retry.max_delay)}, ±{retry.jitter:.0%}, for {length(retry.max_age)}{most}"
    )


def _oauth(oauth: account_pb2.OauthGrant) -> str:
    has = [
        words
        for words, there in (
            ("a secret", oauth.has_client_secret),
            ("a refresh token", oauth.has_refresh_token),
        )
        if there
    ]
    scope = f", for {oauth.scope}" if oauth.scope else ""
    return f"{oauth.client_id} at {oauth.token_url} with {' and '.join(has)}{scope}"


def _health(health: account_pb2.AccountHealth) -> Iterator[Row]:
    if health.paused:
        yield "paused", f"since {output.local_time(health.pause_time)} {health.pause_note}".strip()
    if health.breaker == account_pb2.BREAKER_STATE_OPEN:
        reason = output.name(delivery_pb2.FailureReason, health.reason, "FAILURE_REASON_")
        yield "stopped", f"since {output.local_time(health.open_time)}: {reason}"
        if health.HasField("reply"):
            yield "reply", output.reply_words(health.reply)
        yield "next probe", output.local_time(health.next_probe_time)
        yield "remedy", health.remedy
    elif health.breaker == account_pb2.BREAKER_STATE_CLOSED:
        yield "breaker", "closed"
    if health.throttled_connections:
        yield "throttled", f"to {health.throttled_connections} connections"
    if health.HasField("throttled_gap"):
        yield "throttled", f"to a message every {length(health.throttled_gap)}"
    for use in health.limits:
        room = f", room again at {output.local_time(use.room_time)}"
        full = room if use.HasField("room_time") else ""
        yield "used", f"{use.used} of {written(use.limit)}{full}"
