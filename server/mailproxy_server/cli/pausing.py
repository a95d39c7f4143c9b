"""`mailproxy queue pause`, `queue resume` and `queue status`."""

from typing import Annotated

import typer

from mailproxy_server.cli import options, output, queue
from mailproxy_server.cli.connection import connected

Account = Annotated[str, typer.Option(help="What this account sends.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="Messages with this label, as key=value.")
]
Note = Annotated[str, typer.Option(help="Why, for those who look at it later.")]


def commands(app: typer.Typer) -> None:
    """Add the group of this file to the CLI."""
    group = typer.Typer(help="Hold mail back, and let it go.", no_args_is_help=True)
    group.command(epilog=options.EXIT_CODES)(pause)
    group.command(epilog=options.EXIT_CODES)(resume)
    group.command(epilog=options.EXIT_CODES)(queue.status)
    app.add_typer(group, name="queue")


def pause(
    account: Account = "",
    label: Labels = None,
    note: Note = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Hold an account's mail back, or that with labels, on every replica, until resumed."""
    labels = _chosen(account, label)
    with connected("queue pause", target, token_file) as client:
        found = client.pause_queue(account=account, labels=labels, note=note)
    if as_json:
        output.print_json(output.as_json(found))
    else:
        print(f"Held: {found.held}; in progress, not stopped: {found.in_progress}")


def resume(
    account: Account = "",
    label: Labels = None,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """End a pause, named as it was begun; what it held goes on in its old place."""
    labels = _chosen(account, label)
    with connected("queue resume", target, token_file) as client:
        found = client.resume_queue(account=account, labels=labels)
    if as_json:
        output.print_json(output.as_json(found))
    elif found.resumed:
        print(f"Released: {found.released}")
    else:
        print("No such pause is in force; `mailproxy status` shows those that are.")


def _chosen(account: str, label: list[str] | None) -> dict[str, str]:
    labels = options.pairs(label)
    if not (account or labels):
        raise typer.BadParameter("give --account, --label, or both")
    return labels
