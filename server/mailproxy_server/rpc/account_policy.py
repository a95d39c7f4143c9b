"""What an account's limits, retries and fallbacks may be. Pure."""

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2

from mailproxy_server.policy.retry import RetryPolicy
from mailproxy_server.policy.windows import Limit, Unit
from mailproxy_server.rpc.account_values import ACCOUNT_ID, Checks, Faults, span

LIMITS_MOST = 16
COUNT_MOST = 1_000_000_000
FALLBACKS_MOST = 8
FACTOR_MOST = 10.0
JITTER_MOST = 0.9
ATTEMPTS_MOST = 2**31 - 1
DAY = 86_400

WINDOWS = (1, 60, 3600, DAY)
"""Seconds: what `policy.windows` has been proved for, and what providers speak of."""

UNITS = {
    account_pb2.RATE_UNIT_UNSPECIFIED: Unit.RECIPIENTS,
    account_pb2.RATE_UNIT_RECIPIENTS: Unit.RECIPIENTS,
    account_pb2.RATE_UNIT_MESSAGES: Unit.MESSAGES,
}

BEHAVIORS = {
    account_pb2.LIMIT_BEHAVIOR_UNSPECIFIED: "defer",
    account_pb2.LIMIT_BEHAVIOR_DEFER: "defer",
    account_pb2.LIMIT_BEHAVIOR_REJECT: "reject",
}
"""What happens at a limit, as the table has it."""

patience = span(0, DAY, 60.0, "must be 0 s to 1 day; default 1 minute")

_DEFAULT = RetryPolicy()
_first = span(1, DAY, _DEFAULT.first, "must be 1 s to 1 day; default 1 minute")
_cap = span(1, 7 * DAY, _DEFAULT.cap, "must be 1 s to 7 days; default 1 hour")
_age = span(1, 30 * DAY, _DEFAULT.max_age, "must be 1 s to 30 days; default 5 days")


def limits(value: Sequence[account_pb2.RateLimit]) -> tuple[Limit, ...]:
    """Limits, of which no two count the same over the same window."""
    if len(value) > LIMITS_MOST:
        raise ValueError(f"{len(value)} limits, and {LIMITS_MOST} are allowed")
    checks = Checks()
    found: list[Limit] = []
    places: dict[tuple[float, Unit], int] = {}
    for place, one in enumerate(value):
        count = checks.apply(f"[{place}].count", _count, one.count)
        window = checks.apply(f"[{place}].window", _window, one.window)
        if count is None or window is None:
            continue
        limit = Limit(count, window, UNITS[one.unit])
        first = places.setdefault((limit.window, limit.unit), place)
        if first != place:
            checks.add(
                f"[{place}].window",
                f"limits[{first}] has the same window and unit: keep the lower one",
            )
        found.append(limit)
    checks.refuse()
    return tuple(found)


def retry(value: account_pb2.RetryPolicy | None) -> RetryPolicy:
    """A retry policy; each field that is not set has its default."""
    given = value if value is not None else account_pb2.RetryPolicy()
    checks = Checks()
    first = checks.apply(".first_delay", _first, _set(given, "first_delay"))
    factor = checks.apply(".factor", _factor, given.factor)
    cap = checks.apply(".max_delay", _cap, _set(given, "max_delay"))
    jitter = checks.apply(
        ".jitter", _jitter, given.jitter if given.HasField("jitter") else _DEFAULT.jitter
    )
    attempts = checks.apply(".max_attempts", _attempts, given.max_attempts)
    age = checks.apply(".max_age", _age, _set(given, "max_age"))
    if first is not None and cap is not None and first > cap:
        checks.add(".max_delay", f"is below first_delay: at least {first:g} s, or a shorter first")
    checks.refuse()
    assert first is not None and factor is not None and cap is not None  # noqa: PT018
    assert jitter is not None and age is not None  # noqa: PT018
    return RetryPolicy(first, factor, cap, jitter, age, attempts or None)


def fallbacks(value: Sequence[str]) -> tuple[str, ...]:
    """Accounts, each named once. Whether there are such is asked where they are kept."""
    if len(value) > FALLBACKS_MOST:
        raise ValueError(f"{len(value)} accounts, and {FALLBACKS_MOST} are allowed")
    found = [
        (f"[{place}]", "named already" if ACCOUNT_ID.match(one) else "not an account_id")
        for place, one in enumerate(value)
        if not ACCOUNT_ID.match(one) or one in value[:place]
    ]
    if found:
        raise Faults(found)
    return tuple(value)


def _count(value: int) -> int:
    if not 1 <= value <= COUNT_MOST:
        raise ValueError(f"must be 1 to {COUNT_MOST:,}")
    return value


def _window(value: Duration) -> float:
    if value.nanos or value.seconds not in WINDOWS:
        raise ValueError("must be 1 s, 1 min (60 s), 1 h (3600 s) or 1 day (86400 s)")
    return float(value.seconds)


def _factor(value: float) -> float:
    if value == 0:
        return _DEFAULT.factor
    if not 1 <= value <= FACTOR_MOST:
        raise ValueError("must be 1 to 10; default 2")
    return value


def _jitter(value: float) -> float:
    if not 0 <= value <= JITTER_MOST:
        raise ValueError("must be 0 to 0.9; default 0.25")
    return value


def _attempts(value: int) -> int:
    if value < 0:
        raise ValueError("must be 1 or more, or 0 for no limit")
    return value


def _set(policy: account_pb2.RetryPolicy, field: str) -> Duration | None:
    return getattr(policy, field) if policy.HasField(field) else None  # type: ignore[arg-type]
