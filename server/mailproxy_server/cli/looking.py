"""`mailproxy message list` and `mailproxy message explain`."""

from collections.abc import Iterable
from typing import Annotated

import typer
from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import connected

State = Annotated[
    list[str] | None,
    typer.Option("--state", help="Only where a recipient is queued, sent, failed ... Repeat."),
]
Since = Annotated[str, typer.Option(help="Only accepted since then: 2h, 1d, or a time.")]
Before = Annotated[str, typer.Option(help="Only accepted before then: 2h, 1d, or a time.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many.")]
Recipient = Annotated[str, typer.Option(help="Only to this address.")]


def commands(group: typer.Typer) -> None:
    """Add the commands of this file to the group `message`."""
    group.command("list", epilog=options.EXIT_CODES)(list_messages)
    group.command(epilog=options.EXIT_CODES)(explain)


def list_messages(
    account: options.Account = "",
    label: options.Labels = None,
    state: State = None,
    recipient: Recipient = "",
    since: Since = "",
    before: Before = "",
    limit: Limit = 50,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """List messages, the newest first, with how many recipients are in which state."""
    with connected("message list", target, token_file) as client:
        found = client.list_messages(
            account=account,
            labels=options.pairs(label),
            states=state or (),
            recipient=recipient,
            accepted_from=options.ago(since, "--since") if since else None,
            accepted_before=options.ago(before, "--before") if before else None,
            limit=limit,
        )
    if as_json:
        output.print_json([output.as_json(each) for each in found])
        return
    _print_messages(found)


def _print_messages(found: Iterable[message_pb2.MessageSummary]) -> None:
    output.print_table(
        "Messages",
        ("message", "accepted", "account", "priority", "from", "recipients"),
        (
            (
                each.message_id,
                output.local_time(each.accept_time),
                each.account_id,
                output.name(delivery_pb2.Priority, each.priority, "PRIORITY_").lower(),
                f"<{each.return_path}>",
                ", ".join(_count(one) for one in each.states),
            )
            for each in found
        ),
    )


def explain(
    message_id: options.MaybeId = "",
    request_id: options.RequestId = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Say why a message waits, and until when, for each of its recipients."""
    options.one_message(message_id, request_id)
    with connected("message explain", target, token_file) as client:
        found = client.explain_message(message_id, request_id=request_id)
    if as_json:
        output.print_json(output.as_json(found))
        return
    output.print_table(
        f"Message {found.message_id}",
        ("recipient", "state", "by", "waits for", "next attempt, likely"),
        (
            (
                each.recipient,
                output.coloured(
                    output.name(delivery_pb2.DeliveryState, each.state, "DELIVERY_STATE_")
                ),
                each.account_id,
                "\n".join(map(_wait, each.waits)),
                output.local_time(each.estimated_attempt_time),
            )
            for each in found.recipients
        ),
    )


def _count(one: message_pb2.StateCount) -> str:
    state = output.name(delivery_pb2.DeliveryState, one.state, "DELIVERY_STATE_").lower()
    return f"{one.recipients} {state}"


def _wait(wait: message_pb2.Wait) -> str:
    words = output.clean(wait.words)
    if wait.HasField("reply"):
        words += f" ({output.reply_words(wait.reply)})"
    if wait.HasField("until"):
        words += f", until {output.local_time(wait.until)}"
    return words
