"""`mailproxy status` and `mailproxy run-now`: the queue as a whole."""

from collections.abc import Iterable
from typing import Annotated

import typer
from mailproxy.v1 import account_pb2, delivery_pb2, queue_pb2

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import connected

Message = Annotated[
    list[str] | None, typer.Option("--message", help="Only this message's id. Repeat for more.")
]
Retries = Annotated[bool, typer.Option("--retries", help="Also what waits for its next attempt.")]
Scheduled = Annotated[
    bool,
    typer.Option("--scheduled", help="Also what waits for its send time; choose which as well."),
]


def commands(app: typer.Typer) -> None:
    """Add the commands of this file to the CLI."""
    app.command(epilog=options.EXIT_CODES)(status)
    app.command("run-now", epilog=options.EXIT_CODES)(run_now)


def status(
    account: options.Account = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Show what waits in the queue, by account, and who sends."""
    with connected("status", target, token_file) as client:
        found = client.queue_status(account)
    if as_json:
        output.print_json(output.as_json(found))
        return
    output.print_table(
        "Queue",
        ("account", "due", "retrying", "scheduled", "held", "sending", "oldest due", "state"),
        (
            (
                each.account_id,
                *map(str, (each.due, each.retrying, each.scheduled, each.held, each.sending)),
                output.local_time(each.oldest_due_time),
                state_of(each.health),
            )
            for each in found.accounts
        ),
    )
    _print_pauses(found.pauses)
    _print_dispatchers(found.dispatchers)
    print(f"Reports so far: {found.head_offset}")
    if not any(each.alive for each in found.dispatchers):
        print("Nobody sends. Try: mailproxy serve")


def run_now(
    account: options.Account = "",
    message: Message = None,
    label: options.Labels = None,
    retries: Retries = False,
    scheduled: Scheduled = False,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """End the waiting of what is chosen; with nothing chosen, only wake the dispatchers."""
    labels = options.pairs(label)
    if scheduled and not (account or message or labels):
        raise typer.BadParameter("needs --account, --message or --label", param_hint="--scheduled")
    with connected("run-now", target, token_file) as client:
        made_due = client.run_now(
            account=account,
            message_ids=message or (),
            labels=labels,
            include_retries=retries,
            include_scheduled=scheduled,
        )
    if as_json:
        output.print_json({"made_due": made_due})
    else:
        print(f"Made due: {made_due}")


def state_of(health: account_pb2.AccountHealth) -> str:
    """Give what keeps an account from sending, or slows it."""
    words = []
    if health.paused:
        words.append(f"paused ({health.pause_note})" if health.pause_note else "paused")
    if health.breaker == account_pb2.BREAKER_STATE_OPEN:
        reason = output.name(delivery_pb2.FailureReason, health.reason, "FAILURE_REASON_")
        until = output.local_time(health.next_probe_time)
        words.append(f"stopped: {reason}, next probe {until}; {health.remedy}")
    if health.throttled_connections:
        words.append(f"throttled to {health.throttled_connections} connections")
    full = [use.room_time for use in health.limits if use.HasField("room_time")]
    words += [f"at its limit until {output.local_time(stamp)}" for stamp in full]
    return "\n".join(words) or "sends"


def _print_pauses(pauses: Iterable[queue_pb2.Pause]) -> None:
    rows = [
        (
            each.selector.account_id or "any",
            ", ".join(f"{key}={value}" for key, value in sorted(each.selector.labels.items())),
            output.local_time(each.pause_time),
            each.note,
        )
        for each in pauses
    ]
    if rows:
        output.print_table("Pauses", ("account", "labels", "since", "note"), rows)


def _print_dispatchers(dispatchers: Iterable[queue_pb2.DispatcherStatus]) -> None:
    output.print_table(
        "Dispatchers",
        ("dispatcher", "host", "since", "last beat", "alive"),
        (
            (
                each.worker_id[:8],
                each.host,
                output.local_time(each.start_time),
                output.local_time(each.beat_time),
                "yes" if each.alive else "no",
            )
            for each in dispatchers
        ),
    )
