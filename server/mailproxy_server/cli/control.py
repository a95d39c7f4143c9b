"""`mailproxy message cancel, retry, reschedule`: what is done to messages."""

from collections.abc import Iterable
from typing import Annotated

import typer
from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import connected

Recipients = Annotated[
    list[str] | None, typer.Option("--recipient", help="Only this recipient. Repeat.")
]
ExpireAt = Annotated[str, typer.Option(help="Until when: 2h, 1d, or a time.")]
SendAt = Annotated[str, typer.Option(help="When: 10m, 2h, or a time; the past means now.")]


def commands(group: typer.Typer) -> None:
    """Add the commands of this file to the group `message`."""
    for command in (cancel, retry, reschedule):
        group.command(epilog=options.EXIT_CODES)(command)


def cancel(
    message_id: options.MaybeId = "",
    request_id: options.RequestId = "",
    account: options.Account = "",
    label: options.Labels = None,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Withdraw what has not begun to be sent: of one message, or of all that match."""
    labels = options.pairs(label)
    if [bool(message_id), bool(request_id), bool(account or labels)].count(True) != 1:
        raise typer.BadParameter("give the message's id, --request-id, or --account and --label")
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
    message_id: options.MaybeId = "",
    request_id: options.RequestId = "",
    recipient: Recipients = None,
    expire_at: ExpireAt = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Bring the failed and expired recipients of a message back to the queue."""
    options.one_message(message_id, request_id)
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
    _print_standings(found.recipients)
    print(f"Back in the queue: {found.requeued}")


def reschedule(
    send_at: SendAt,
    message_id: options.MaybeId = "",
    request_id: options.RequestId = "",
    expire_at: ExpireAt = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Give what has not been sent of a message another time."""
    options.one_message(message_id, request_id)
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
    _print_standings(found.recipients)
    print(f"Rescheduled: {found.rescheduled}; in progress: {found.in_progress}")


def _print_standings(recipients: Iterable[delivery_pb2.RecipientStatus]) -> None:
    output.print_table(
        "Recipients",
        ("recipient", "state", "next attempt"),
        (
            (
                each.recipient,
                output.coloured(
                    output.name(delivery_pb2.DeliveryState, each.state, "DELIVERY_STATE_")
                ),
                output.local_time(each.next_attempt_time),
            )
            for each in recipients
        ),
    )
