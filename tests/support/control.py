"""What a tenant does to messages and to the queue: short words for long requests."""

from typing import Any

from mailproxy.v1 import delivery_pb2, message_pb2, queue_pb2

from tests.support.calling import Caller

Selector = delivery_pb2.Selector
TWO = [{"address": "ann@b.test"}, {"address": "bob@b.test"}]


async def cancel(caller: Caller, **target: Any) -> message_pb2.CancelMessageResponse:
    wanted = message_pb2.CancelMessageRequest(**target)
    response: message_pb2.CancelMessageResponse = await caller.call(
        caller.messages.CancelMessage, wanted
    )
    return response


async def reschedule(
    caller: Caller, message_id: str, **fields: Any
) -> message_pb2.RescheduleMessageResponse:
    wanted = message_pb2.RescheduleMessageRequest(message_id=message_id, **fields)
    response: message_pb2.RescheduleMessageResponse = await caller.call(
        caller.messages.RescheduleMessage, wanted
    )
    return response


async def retry(caller: Caller, message_id: str, **fields: Any) -> int:
    """Give how many recipients came back."""
    wanted = message_pb2.RetryMessageRequest(message_id=message_id, **fields)
    response: message_pb2.RetryMessageResponse = await caller.call(
        caller.messages.RetryMessage, wanted
    )
    return response.requeued


async def pause(caller: Caller, note: str = "", **selector: Any) -> tuple[int, int]:
    """Give how many are held, and how many in progress."""
    wanted = queue_pb2.PauseQueueRequest(selector=Selector(**selector), note=note)
    response: queue_pb2.PauseQueueResponse = await caller.call(caller.queue.PauseQueue, wanted)
    return response.held, response.in_progress


async def resume(caller: Caller, **selector: Any) -> tuple[bool, int]:
    """Give whether there was such a pause, and how many are released."""
    wanted = queue_pb2.ResumeQueueRequest(selector=Selector(**selector))
    response: queue_pb2.ResumeQueueResponse = await caller.call(caller.queue.ResumeQueue, wanted)
    return response.resumed, response.released


async def states(caller: Caller, message_id: str) -> list[str]:
    """Give the state of each recipient."""
    found = await caller.get(message_id)
    return [
        delivery_pb2.DeliveryState.Name(one.state).removeprefix("DELIVERY_STATE_")
        for one in found.recipients
    ]
