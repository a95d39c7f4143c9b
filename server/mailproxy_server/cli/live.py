"""`mailproxy watch`: a live view of lanes, queue and recent outcomes, in the terminal."""

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Annotated

import typer
from mailproxy.errors import MailProxyError
from mailproxy.sync import MailProxyClient
from mailproxy.v1 import delivery_pb2, queue_pb2
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import connected
from mailproxy_server.cli.queue import state_of

_SHOWN = 15
_SPAN = 10.0
"""Seconds that rates are of."""
_NUMBERS = ("account", "due", "retrying", "scheduled", "held", "sending")
_COUNTED = {
    delivery_pb2.REPORT_EVENT_SENT: "sent",
    delivery_pb2.REPORT_EVENT_FAILED: "failed",
    delivery_pb2.REPORT_EVENT_EXPIRED: "failed",
    delivery_pb2.REPORT_EVENT_DEFERRED: "deferred",
}

Every = Annotated[float, typer.Option(min=0.1, max=60, help="Seconds between two looks.")]
Frames = Annotated[int, typer.Option(min=0, help="Stop after so many looks; 0: never.")]


def commands(app: typer.Typer) -> None:
    """Add the command of this file to the CLI."""
    app.command(epilog=options.EXIT_CODES)(watch)


def watch(
    account: options.Account = "",
    every: Every = 1.0,
    frames: Frames = 0,
    target: options.Target = None,
    token_file: options.TokenFile = None,
) -> None:
    """Show lanes, queue and recent outcomes, as they change; Ctrl-C ends it."""
    with connected("watch", target, token_file, retry=True) as client:
        status = client.queue_status(account)
        recent = Recent()
        threading.Thread(target=recent.follow, args=(client, account), daemon=True).start()
        console = Console()
        try:
            with Live(_view(status, recent), console=console, auto_refresh=False) as live:
                looks = 1
                while looks != frames:
                    time.sleep(every)
                    looks += 1
                    live.update(_view(client.queue_status(account), recent), refresh=True)
        except KeyboardInterrupt:
            pass  # the usual end


class Recent:
    """The newest outcomes, kept by a thread that follows the reports."""

    def __init__(self) -> None:
        self.reports: deque[delivery_pb2.DeliveryReport] = deque(maxlen=_SHOWN)
        self._ended: deque[tuple[float, str]] = deque(maxlen=1_000_000)

    def follow(self, client: MailProxyClient, account: str) -> None:
        """Follow until the client is closed."""
        try:
            for report in client.delivery_reports("now", account=account):
                self.add(report)
        except MailProxyError:
            pass  # closed: the command ends, or has told why

    def add(self, report: delivery_pb2.DeliveryReport) -> None:
        """Keep one."""
        self.reports.appendleft(report)
        if kind := _COUNTED.get(report.event):
            self._ended.append((time.monotonic(), kind))

    def rates(self) -> dict[str, float]:
        """Give how many a second were sent, failed and deferred of late."""
        since = time.monotonic() - _SPAN
        while self._ended and self._ended[0][0] < since:
            self._ended.popleft()
        kinds = [kind for _, kind in list(self._ended)]
        return {name: kinds.count(name) / _SPAN for name in ("sent", "failed", "deferred")}


def _view(status: queue_pb2.GetQueueStatusResponse, recent: Recent) -> Group:
    alive = [each for each in status.dispatchers if each.alive]
    rates = "   ".join(f"{name} {rate:.1f}/s" for name, rate in recent.rates().items())
    head = Text(f"{rates}   dispatchers {len(alive)}   reports {status.head_offset}", style="bold")
    if not alive:
        head.append("   NOBODY SENDS: mailproxy serve", style="red bold")
    return Group(head, _lanes(status.accounts), _outcomes(list(recent.reports)))


def _lanes(accounts: Iterable[queue_pb2.AccountQueueStatus]) -> Table:
    table = Table(title="Lanes", title_justify="left", expand=True)
    for name in (*_NUMBERS, "oldest due", "state"):
        table.add_column(name)
    for each in accounts:
        numbers = (each.due, each.retrying, each.scheduled, each.held, each.sending)
        words = state_of(each.health)
        style = "" if words == "sends" else "yellow"
        oldest = output.local_time(each.oldest_due_time)
        cells = map(Text, (each.account_id, *map(str, numbers), oldest))
        table.add_row(*cells, Text(words, style=style))
    return table


def _outcomes(reports: Iterable[delivery_pb2.DeliveryReport]) -> Table:
    table = Table(title="Recent outcomes", title_justify="left", expand=True)
    for name in ("when", "what", "account", "recipient", "the relay's words"):
        table.add_column(name, overflow="fold")
    for each in reports:
        table.add_row(
            output.local_time(each.event_time),
            output.coloured(output.name(delivery_pb2.ReportEvent, each.event, "REPORT_EVENT_")),
            Text(each.account_id),
            Text(output.clean(each.recipient)),  # not markup, whatever a relay says
            Text(output.clean(output.why(each)[:200])),
        )
    return table
