"""Selectors of the contract: checked, and as what the queue and the streams go by."""

from collections.abc import Callable, Collection

from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import delivery_pb2

from mailproxy_server.mail.errors import invalid
from mailproxy_server.queue.chosen import Chosen
from mailproxy_server.rpc.find import parse_id

IDS_LIMIT = 1000
LABELS_LIMIT = 16


def chosen(selector: delivery_pb2.Selector) -> Chosen:
    """Check a selector; raise `InvalidFields` naming its field."""
    if len(selector.message_ids) > IDS_LIMIT:
        raise invalid("selector.message_ids", f"give at most {IDS_LIMIT}")
    if len(selector.labels) > LABELS_LIMIT:
        raise invalid("selector.labels", f"give at most {LABELS_LIMIT}")
    check_text(selector.account_id, "selector.account_id")
    for key, value in selector.labels.items():
        check_text(key + value, "selector.labels")
    ids = [
        parse_id(text, f"selector.message_ids[{number}]")
        for number, text in enumerate(selector.message_ids)
    ]
    return Chosen(selector.account_id, ids, dict(selector.labels))


def check_text(text: str, field: str) -> None:
    """Raise `InvalidFields` for text that the database cannot look for."""
    if "\0" in text:
        raise invalid(field, "holds a NUL (U+0000), which nothing here has; remove it")


def wanted(
    choice: Chosen, events: Collection[int], since: Timestamp | None = None
) -> Callable[[delivery_pb2.DeliveryReport], bool]:
    """Give the filter of a stream: by selector, by events if any are named, by time if given."""
    ids = frozenset(map(str, choice.message_ids))
    if choice.everything and not events and since is None:
        return lambda _: True
    begin = (since.seconds, since.nanos) if since else (0, 0)

    def passes(report: delivery_pb2.DeliveryReport) -> bool:
        return (
            (not events or report.event in events)
            and (report.event_time.seconds, report.event_time.nanos) >= begin
            and (not choice.account_id or report.account_id == choice.account_id)
            and (not ids or report.message_id in ids)
            and all(report.labels.get(key) == value for key, value in choice.labels.items())
        )

    return passes
