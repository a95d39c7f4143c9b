"""`mailproxy message list, explain, cancel, retry, reschedule`: what is done to messages."""

from typing import Annotated

import typer
from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import connected

MaybeId = Annotated[str, typer.Argument(help="The message's id; or give --request-id.")]
RequestId = Annotated[str, typer.Option(help="The request_id that it was submitted with.")]
State = Annotated[
    list[str] | None,
    typer.Option("--state", help="Only where a recipient is queued, sent, failed ... Repeat."),
]
Since = Annotated[str, typer.Option(help="Only accepted since then: 2h, 1d, or a time.")]
Before = Annotated[str, typer.Option(help="Only accepted before then: 2h, 1d, or a time.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many.")]
Recipient = Annotated[str, typer.Option(help="Only to this address.")]
Recipients = Annotated[
    list[str] | None, typer.Option("--recipient", help="Only this recipient. Repeat.")
]
ExpireAt = Annotated[str, typer.Option(help="Until when: 2h, 1d, or a time.")]
SendAt = Annotated[str, typer.Option(help="When: 10m, 2h, or a time; the past means now.")]


def commands(group: typer.Typer) -> None:
    """Add the commands of this file to the group `message`."""
    for command in (explain, cancel, retry, reschedule):
        group.command(epilog=options.EXIT_CODES)(command)
    group.command("list", epilog=options.EXIT_CODES)(list_messages)


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
    message_id: MaybeId = "",
    request_id: RequestId = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Say why a message waits, and until when, for each of its recipients."""
    _one(message_id, request_id)
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


def cancel(
    message_id: MaybeId = "",
    request_id: RequestId = "",
    account: options.Account = "",
    label: options.Labels = None,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Withdraw what has not begun to be sent: of one message, or of all that match."""
    labels = options.pairs(label)
    if not (account or labels):
        _one(message_id, request_id)
    with connected("message cancel", target, token_file) as client:
        found = client.cancel_message(
            message_id, request_id=request_id, account=account, labels=labels
        )
    if as_json:
        output.print_json(output.as_json(found))
        return
    output.print_table(
        "Recipients",
        ("message", "recipient", "result"),
        (
            (
                each.message_id,
                each.recipient,
                output.name(message_pb2.CancelResult, each.result, "CANCEL_RESULT_"),
            )
            for each in found.recipients
        ),
    )
    print(f"Cancelled: {found.cancelled}; in progress: {found.in_progress}")


def retry(
    message_id: MaybeId = "",
    request_id: RequestId = "",
    recipient: Recipients = None,
    expire_at: ExpireAt = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Bring the failed and expired recipients of a message back to the queue."""
    _one(message_id, request_id)
    with connected("message retry", target, token_file) as client:
        found = client.retry_message(
            message_id,
            request_id=request_id,
            recipients=recipient or (),
            expire_time=options.ahead(expire_at, "--expire-at") if expire_at else None,
        )
    if as_json:
        output.print_json(output.as_json(found))
        return
    print(f"Back in the queue: {found.requeued}")


def reschedule(
    send_at: SendAt,
    message_id: MaybeId = "",
    request_id: RequestId = "",
    expire_at: ExpireAt = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Give what has not been sent of a message another time."""
    _one(message_id, request_id)
    with connected("message reschedule", target, token_file) as client:
        found = client.reschedule_message(
            message_id,
            request_id=request_id,
            send_time=options.ahead(send_at, "--send-at"),
            expire_time=options.ahead(expire_at, "--expire-at") if expire_at else None,
        )
    if as_json:
        output.print_json(output.as_json(found))
        return
    print(f"Rescheduled: {found.rescheduled}; in progress: {found.in_progress}")


def _one(message_id: str, request_id: str) -> None:
    if bool(message_id) == bool(request_id):
        raise typer.BadParameter("give the message's id or --request-id")


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
