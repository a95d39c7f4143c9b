"""The reports of one message as they come, for the commands that wait for its end."""

import sys

import typer
from mailproxy.errors import DeadlineError
from mailproxy.sync import MailProxyClient
from mailproxy.v1 import delivery_pb2

from mailproxy_server.cli import output
from mailproxy_server.cli.connection import UNREACHABLE

GOOD = frozenset({delivery_pb2.REPORT_EVENT_SENT, delivery_pb2.REPORT_EVENT_CAPTURED})


def print_until_final(
    client: MailProxyClient, message_id: str, timeout: float | None, as_json: bool
) -> bool:
    """Print a message's reports until every recipient is final; give whether all went out."""
    last: dict[str, bool] = {}
    try:
        with client.watch(message_id, timeout=timeout) as reports:
            for report in reports:
                print_report(report, as_json)
                last[report.recipient] = report.event in GOOD
    except DeadlineError:
        print(f"mailproxy: not all is final after {timeout} s", file=sys.stderr)
        print(f"Try: mailproxy message watch {message_id}", file=sys.stderr)
        raise typer.Exit(UNREACHABLE) from None
    return all(last.values())


def print_report(report: delivery_pb2.DeliveryReport, as_json: bool) -> None:
    """Print a report as one line for people or programs."""
    if as_json:
        output.print_json(output.as_json(report))
    else:
        output.print_report(report)
