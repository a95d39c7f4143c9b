"""How commands show things: tables and lines for people, JSON for programs.

What came from elsewhere is shown without control characters: a relay's words must not steer
somebody's terminal.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import delivery_pb2
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {
    "SENT": "green",
    "CAPTURED": "green",
    "DEFERRED": "yellow",
    "FAILED": "red",
    "EXPIRED": "red",
    "CANCELLED": "magenta",
    "BREAKER_OPENED": "red",
    "BREAKER_CLOSED": "green",
}


_OF_ACCOUNTS = (
    delivery_pb2.REPORT_EVENT_BREAKER_OPENED,
    delivery_pb2.REPORT_EVENT_BREAKER_CLOSED,
)


def clean(text: str) -> str:
    """Give text in which every control character is replaced."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def as_json(message: Message) -> dict[str, Any]:
    """Give a protobuf message as protobuf's JSON mapping, with every field and its own names."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def print_json(value: Any) -> None:
    """Print one JSON value on a line of its own, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table; the first column is what the row is about. Columns without names have
    no line of their own for them."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(each if isinstance(each, Text) else Text(clean(each)) for each in row))
    Console().print(table)


def local_time(stamp: Timestamp) -> str:
    """Give a time in this machine's zone, to the second; "" when there is none."""
    if not (stamp.seconds or stamp.nanos):
        return ""
    return datetime.fromtimestamp(stamp.seconds).astimezone().isoformat(" ", "seconds")


def name(enum: Any, number: int, prefix: str) -> str:
    """Give the name of an enum's number without its prefix."""
    known = enum.DESCRIPTOR.values_by_number.get(number)
    return str(known.name.removeprefix(prefix)) if known else str(number)


def coloured(word: str) -> Text:
    """Give the name of an event or state in its colour."""
    return Text(word, style=_STYLES.get(word, ""))


def print_report(report: delivery_pb2.DeliveryReport) -> None:
    """Print a report as one line."""
    event = name(delivery_pb2.ReportEvent, report.event, "REPORT_EVENT_")
    line = Text(f"{local_time(report.event_time)} ")
    line.append_text(coloured(event))
    line.append(" " * max(1, 10 - len(event)))
    line.append(f"{clean(report.recipient)}  {report.message_id}" if report.recipient else "")
    if report.event in _OF_ACCOUNTS:
        line.append(f"account {clean(report.account_id)}")
    if report.attempt:
        line.append(f"  attempt {report.attempt}")
    if words := why(report):
        line.append(f"  {words}")
    if report.HasField("next_attempt_time"):
        line.append(f"  next {local_time(report.next_attempt_time)}")
    if report.possible_duplicate:
        line.append("  possible duplicate")
    Console(soft_wrap=True).print(line)


def why(report: delivery_pb2.DeliveryReport) -> str:
    """Give the reason of a report and the relay's words, if there are any."""
    parts = []
    if report.reason:
        parts.append(name(delivery_pb2.FailureReason, report.reason, "FAILURE_REASON_"))
    if report.HasField("reply"):
        parts.append(reply_words(report.reply))
    if report.detail:
        parts.append(clean(report.detail))
    return " ".join(parts)


def reply_words(reply: delivery_pb2.SmtpReply) -> str:
    """Give a relay's reply as one line."""
    text = " / ".join(clean(line) for line in reply.text.split("\n"))
    return " ".join(filter(None, (str(reply.code), reply.enhanced_code, text)))


def print_dialogue(exchanges: Iterable[delivery_pb2.SmtpExchange]) -> None:
    """Print an SMTP dialogue: what was sent, and what came back."""
    console = Console(soft_wrap=True, highlight=False)
    for each in exchanges:
        clock = f"{each.elapsed_ms:>7} ms "
        if each.command:
            command = f"CONNECT {each.command}" if each.stage == "CONNECT" else each.command
            console.print(Text(f"{'':>10} > {clean(command)}", style="bold"))
        if each.HasField("reply"):
            style = "green" if each.reply.code < 400 else "red"
            console.print(Text(f"{clock} < {reply_words(each.reply)}", style=style))
        else:
            console.print(Text(f"{clock} ! {each.stage}: {clean(each.fault)}", style="red"))
