"""`mailproxy message`: one message, its recipients, and what was said to the relay for it."""

from typing import Annotated

import typer
from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.cli import control, looking, options, output
from mailproxy_server.cli.connection import FAILED, connected
from mailproxy_server.cli.watching import print_until_final

MessageId = Annotated[str, typer.Argument(help="The message's id.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds to wait at most.")]


def commands(app: typer.Typer) -> None:
    """Add the group of this file to the CLI."""
    group = typer.Typer(help="Look at messages, and change what waits.", no_args_is_help=True)
    group.command(epilog=options.EXIT_CODES)(show)
    group.command(epilog=options.EXIT_CODES)(watch)
    looking.commands(group)
    control.commands(group)
    app.add_typer(group, name="message")


def show(
    message_id: options.MaybeId = "",
    request_id: options.RequestId = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Show a message, where its recipients stand, and the SMTP dialogue of each attempt."""
    options.one_message(message_id, request_id)
    with connected("message show", target, token_file) as client:
        found = client.get_message(message_id, request_id=request_id, include_attempts=True)
    if as_json:
        output.print_json(output.as_json(found))
        return
    output.print_table(f"Message {found.message_id}", ("", ""), _facts(found))
    output.print_table(
        "Recipients",
        ("recipient", "state", "attempts", "next attempt", "last report"),
        (
            (
                each.recipient,
                output.coloured(
                    output.name(delivery_pb2.DeliveryState, each.state, "DELIVERY_STATE_")
                ),
                str(each.attempts),
                output.local_time(each.next_attempt_time),
                output.why(each.last_report),
            )
            for each in found.recipients
        ),
    )
    for attempt in found.attempts:
        ended = output.local_time(attempt.end_time)
        print(
            f"Attempt {attempt.attempt} for {output.clean(attempt.recipient)} "
            f"at {output.clean(attempt.relay_host)}, ended {ended}"
        )
        output.print_dialogue(attempt.exchanges)


def watch(
    message_id: MessageId,
    timeout: Timeout = None,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Print a message's reports until all recipients are final; 1 when not all were sent."""
    with connected("message watch", target, token_file) as client:
        if not print_until_final(client, message_id, timeout, as_json):
            raise typer.Exit(FAILED)


def _facts(found: message_pb2.GetMessageResponse) -> list[tuple[str, str]]:
    facts = [
        ("request_id", found.request_id),
        ("account", found.account_id),
        ("subject", found.subject),
        ("return path", f"<{found.return_path}>"),
        ("priority", output.name(delivery_pb2.Priority, found.priority, "PRIORITY_").lower()),
        ("accepted", output.local_time(found.accept_time)),
        ("not before", output.local_time(found.send_time)),
        ("guarantee", _guarantee(found)),
        ("expires", output.local_time(found.expire_time)),
        ("labels", ", ".join(f"{key}={value}" for key, value in found.labels.items())),
        ("metadata", ", ".join(f"{key}={value}" for key, value in found.metadata.items())),
        ("traceparent", found.traceparent),
    ]
    return [(label, value) for label, value in facts if value]


def _guarantee(found: message_pb2.GetMessageResponse) -> str:
    """Give what was asked for, where it is not the usual."""
    if found.delivery_guarantee == message_pb2.DELIVERY_GUARANTEE_AT_MOST_ONCE:
        return "at most once"
    return ""
