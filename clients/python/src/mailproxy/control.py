"""Requests for what is done to messages that are queued or over. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from mailproxy.v1 import delivery_pb2, message_pb2, queue_pb2
from mailproxy.values import number, timestamp


def selector(
    account: str = "", message_ids: Iterable[str] = (), labels: Mapping[str, str] | None = None
) -> delivery_pb2.Selector:
    """Give a selector."""
    return delivery_pb2.Selector(account_id=account, message_ids=message_ids, labels=labels)


def listing(
    chosen: delivery_pb2.Selector,
    states: Iterable[str | int],
    recipient: str,
    accepted_from: datetime | None,
    accepted_before: datetime | None,
) -> message_pb2.ListMessagesRequest:
    """Give the request for the first page of a list."""
    request = message_pb2.ListMessagesRequest(
        selector=chosen,
        states=[
            number(delivery_pb2.DeliveryState, "DELIVERY_STATE_", state, "states")
            for state in states
        ],
        recipient=recipient,
    )
    if accepted_from is not None:
        request.accepted_from.CopyFrom(timestamp(accepted_from, "accepted_from"))
    if accepted_before is not None:
        request.accepted_before.CopyFrom(timestamp(accepted_before, "accepted_before"))
    return request


def cancellation(
    message_id: str, request_id: str, chosen: delivery_pb2.Selector
) -> message_pb2.CancelMessageRequest:
    """Give the request that withdraws one message, or else all that match."""
    if message_id:
        return message_pb2.CancelMessageRequest(message_id=message_id)
    if request_id:
        return message_pb2.CancelMessageRequest(request_id=request_id)
    return message_pb2.CancelMessageRequest(selector=chosen)


def rescheduling(
    message_id: str, request_id: str, send_time: datetime, expire_time: datetime | None
) -> message_pb2.RescheduleMessageRequest:
    """Give the request that moves a message to another time."""
    request = message_pb2.RescheduleMessageRequest(
        message_id=message_id,
        request_id=request_id,
        send_time=timestamp(send_time, "send_time"),
    )
    if expire_time is not None:
        request.expire_time.CopyFrom(timestamp(expire_time, "expire_time"))
    return request


def retrying(
    message_id: str, request_id: str, recipients: Iterable[str], expire_time: datetime | None
) -> message_pb2.RetryMessageRequest:
    """Give the request that begins a new round."""
    request = message_pb2.RetryMessageRequest(
        message_id=message_id, request_id=request_id, recipients=recipients
    )
    if expire_time is not None:
        request.expire_time.CopyFrom(timestamp(expire_time, "expire_time"))
    return request


def pausing(chosen: delivery_pb2.Selector, note: str) -> queue_pb2.PauseQueueRequest:
    """Give the request that pauses an account, or labels."""
    return queue_pb2.PauseQueueRequest(selector=chosen, note=note)
