"""`mailproxy reports`: what became of each delivery, so far or as it happens."""

from typing import Annotated

import typer

from mailproxy_server.cli import options
from mailproxy_server.cli.connection import connected
from mailproxy_server.cli.watching import print_report

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")]
Since = Annotated[str | None, typer.Option(help="From then on: 2h, 30m, or 2030-01-31T09:00.")]
FromCursor = Annotated[
    str | None, typer.Option(help="After the report with this cursor (see --json).")
]
Event = Annotated[
    list[str] | None, typer.Option(help="Only these: sent, failed, deferred, ... Repeat.")
]


def commands(app: typer.Typer) -> None:
    """Add the command of this file to the CLI."""
    app.command(epilog=options.EXIT_CODES)(reports)


def reports(
    follow: Follow = False,
    since: Since = None,
    from_cursor: FromCursor = None,
    account: options.Account = "",
    label: options.Labels = None,
    event: Event = None,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Print delivery reports, oldest first; from the earliest that is kept, unless told."""
    if since and from_cursor:
        raise typer.BadParameter("give --since or --from-cursor, not both")
    start = options.ago(since, "--since") if since else from_cursor or "earliest"
    labels = options.pairs(label)
    with (
        connected("reports", target, token_file) as client,
        client.delivery_reports(
            start, account=account, labels=labels, events=event or (), follow=follow
        ) as found,
    ):
        for report in found:
            print_report(report, as_json)
