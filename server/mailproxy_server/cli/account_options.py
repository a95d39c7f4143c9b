"""What `mailproxy account set` takes, in parts: the relay, its connections, limits, retries and
what happens when it fails. Credentials are in `account_secrets`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from mailproxy.errors import InvalidRequestError
from mailproxy.limits import limits as read_limits

from mailproxy_server.cli import options
from mailproxy_server.cli.joining import Fields, given
from mailproxy_server.cli.presets import PRESETS, preset_fields

_RETRY, _FAILING, _LIMITS = "Retries", "Failover and staging", "Limits"
Length = str | None
_PRESETS = ", ".join(PRESETS)


class BehaviorName(StrEnum):
    """What happens to what the limits do not let through."""

    defer = "defer"
    reject = "reject"


def preset(
    preset: Annotated[
        str | None, typer.Option(help=f"A provider's host and limits: {_PRESETS}. Others override.")
    ] = None,
    region: Annotated[
        str, typer.Option(help="Of a preset, as eu-west-1 (ses), eu (mailgun).")
    ] = "",
) -> Fields:
    """Give a provider's fields."""
    if preset is None:
        if region:
            raise typer.BadParameter("is for presets: --preset ses", param_hint="--region")
        return {}
    try:
        return preset_fields(preset, region)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--preset") from None


def relay(
    host: Annotated[str | None, typer.Option(help="The relay's host name or address.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Default: 465 for implicit, 25 for none, else 587.")
    ] = None,
    tls: Annotated[options.TlsName | None, typer.Option(help="Default: starttls.")] = None,
    tls_insecure_skip_verify: Annotated[
        bool | None, typer.Option("--insecure/--verify", help="Accept any certificate. For tests.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(help="PEM of the authorities to trust.")] = None,
    ehlo_name: Annotated[
        str | None, typer.Option(help="What EHLO says. Default: the host's name.")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Make it the default account.")
    ] = False,
) -> Fields:
    """Give where the relay is and how to trust it."""
    return given(
        host=host,
        port=port,
        tls=tls,
        tls_insecure_skip_verify=tls_insecure_skip_verify,
        tls_ca_certificates=options.read(str(ca_file), "--ca-file") if ca_file else None,
        ehlo_name=ehlo_name,
        is_default=default or None,
    )


def connections(
    max_connections: Annotated[
        int | None, typer.Option(help="At once, per replica. Default 10.")
    ] = None,
    max_recipients: Annotated[int | None, typer.Option(help="Per transaction. Default 50.")] = None,
    max_messages: Annotated[
        int | None, typer.Option(help="Per connection. Default 0: no limit.")
    ] = None,
    idle_ttl: Annotated[
        Length, typer.Option(help="Keep idle connections so long. Default 5m.")
    ] = None,
    pipelining: Annotated[
        bool | None, typer.Option(help="Use PIPELINING where it is offered.")
    ] = None,
) -> Fields:
    """Give how connections are used."""
    return given(
        max_connections=max_connections,
        max_recipients_per_transaction=max_recipients,
        max_messages_per_connection=max_messages,
        idle_ttl=options.maybe_length(idle_ttl, "--idle-ttl"),
        disable_pipelining=None if pipelining is None else not pipelining,
    )


def limits(
    limit: Annotated[
        list[str] | None,
        typer.Option(
            help="30/min, or 10000/day:messages for transactions in place of recipients; per s, "
            "min, h or day. Repeat: all hold. Replaces those there were.",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="Have none.", rich_help_panel=_LIMITS)
    ] = False,
    limit_behavior: Annotated[
        BehaviorName | None,
        typer.Option(help="Beyond a limit, wait (defer) or fail.", rich_help_panel=_LIMITS),
    ] = None,
    rate_group: Annotated[
        str | None,
        typer.Option(
            help="Share what is used of limits with the accounts of this group; '' for none.",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
) -> Fields:
    """Give the rate limits."""
    if limit and no_limits:
        raise typer.BadParameter("give --limit or --no-limits, not both")
    try:
        wanted = read_limits(limit) if limit else None
    except InvalidRequestError as error:
        raise typer.BadParameter(error.message, param_hint="--limit") from None
    fields = given(limits=wanted, limit_behavior=limit_behavior, rate_group=rate_group)
    return fields | ({"limits": []} if no_limits else {})


def retries(
    retry_first: Annotated[
        Length, typer.Option(help="The first delay. Default 1m.", rich_help_panel=_RETRY)
    ] = None,
    retry_factor: Annotated[
        float | None,
        typer.Option(help="Each is so many times the last. Default 2.", rich_help_panel=_RETRY),
    ] = None,
    retry_cap: Annotated[
        Length, typer.Option(help="The longest delay. Default 1h.", rich_help_panel=_RETRY)
    ] = None,
    retry_jitter: Annotated[
        float | None,
        typer.Option(help="Part by which delays vary. Default 0.25.", rich_help_panel=_RETRY),
    ] = None,
    retry_attempts: Annotated[
        int | None, typer.Option(help="At most. Default 0: no limit.", rich_help_panel=_RETRY)
    ] = None,
    retry_age: Annotated[
        Length, typer.Option(help="Give up after so long. Default 5d.", rich_help_panel=_RETRY)
    ] = None,
) -> Fields:
    """Give what is wanted of the retry policy."""
    wanted = given(
        first_delay=options.maybe_length(retry_first, "--retry-first"),
        factor=retry_factor,
        max_delay=options.maybe_length(retry_cap, "--retry-cap"),
        jitter=retry_jitter,
        max_attempts=retry_attempts,
        max_age=options.maybe_length(retry_age, "--retry-age"),
    )
    return {"retry": wanted} if wanted else {}


def failing(
    fallback: Annotated[
        list[str] | None,
        typer.Option(
            help="Account that takes over when this one cannot send. Repeat, in order. Replaces "
            "those there were.",
            rich_help_panel=_FAILING,
        ),
    ] = None,
    no_fallbacks: Annotated[
        bool, typer.Option("--no-fallbacks", help="Have none.", rich_help_panel=_FAILING)
    ] = False,
    failover_patience: Annotated[
        Length,
        typer.Option(help="How long to wait before that. Default 1m.", rich_help_panel=_FAILING),
    ] = None,
    capture: Annotated[
        bool | None,
        typer.Option(help="Send nothing: recipients end CAPTURED.", rich_help_panel=_FAILING),
    ] = None,
) -> Fields:
    """Give who takes over, and whether anything is sent at all."""
    if fallback and no_fallbacks:
        raise typer.BadParameter("give --fallback or --no-fallbacks, not both")
    return given(
        fallback_account_ids=[] if no_fallbacks else fallback or None,
        failover_patience=options.maybe_length(failover_patience, "--failover-patience"),
        capture=capture,
    )
