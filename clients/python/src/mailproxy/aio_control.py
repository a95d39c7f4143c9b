"""What `AsyncMailProxyClient` does to messages that are queued or over. Twin: `sync_control`."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from mailproxy import control
from mailproxy.aio_connection import AioConnection
from mailproxy.v1 import message_pb2, queue_pb2


class AsyncControl:
    """This part of the client. Each call may be repeated: doing it twice is doing it once."""

    _connection: AioConnection

    async def list_messages(
        self,
        *,
        account: str = "",
        labels: Mapping[str, str] | None = None,
        states: Iterable[str | int] = (),
        recipient: str = "",
        accepted_from: datetime | None = None,
        accepted_before: datetime | None = None,
        limit: int = 100,
        timeout: float | None = None,
    ) -> list[message_pb2.MessageSummary]:
        """Read up to `limit` messages that match, the newest first. `states`: names as "failed"."""
        chosen = control.selector(account, (), labels)
        request = control.listing(chosen, states, recipient, accepted_from, accepted_before)
        found: list[message_pb2.MessageSummary] = []
        while len(found) < limit:
            request.page_size = min(limit - len(found), 1000)
            page = await self._connection.call(lambda s: s.messages.ListMessages, request, timeout)
            found.extend(page.messages)
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        return found

    async def explain_message(
        self, message_id: str = "", *, request_id: str = "", timeout: float | None = None
    ) -> message_pb2.ExplainMessageResponse:
        """Read why a message waits, and until when, for each of its recipients."""
        request = message_pb2.ExplainMessageRequest(message_id=message_id, request_id=request_id)
        return await self._connection.call(lambda s: s.messages.ExplainMessage, request, timeout)

    async def cancel_message(
        self,
        message_id: str = "",
        *,
        request_id: str = "",
        account: str = "",
        message_ids: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> message_pb2.CancelMessageResponse:
        """Withdraw what is queued of a message, or of all that match; tell what is under way."""
        chosen = control.selector(account, message_ids, labels)
        request = control.cancellation(message_id, request_id, chosen)
        return await self._connection.call(lambda s: s.messages.CancelMessage, request, timeout)

    async def reschedule_message(
        self,
        message_id: str = "",
        *,
        send_time: datetime,
        request_id: str = "",
        expire_time: datetime | None = None,
        timeout: float | None = None,
    ) -> message_pb2.RescheduleMessageResponse:
        """Move what is queued of a message to another time."""
        request = control.rescheduling(message_id, request_id, send_time, expire_time)
        return await self._connection.call(lambda s: s.messages.RescheduleMessage, request, timeout)

    async def retry_message(
        self,
        message_id: str = "",
        *,
        request_id: str = "",
        recipients: Iterable[str] = (),
        expire_time: datetime | None = None,
        timeout: float | None = None,
    ) -> message_pb2.RetryMessageResponse:
        """Bring the failed and expired recipients of a message back to the queue."""
        request = control.retrying(message_id, request_id, recipients, expire_time)
        return await self._connection.call(lambda s: s.messages.RetryMessage, request, timeout)

    async def pause_queue(
        self,
        *,
        account: str = "",
        labels: Mapping[str, str] | None = None,
        note: str = "",
        timeout: float | None = None,
    ) -> queue_pb2.PauseQueueResponse:
        """Hold an account's messages back, or those with labels, until resumed."""
        request = control.pausing(control.selector(account, (), labels), note)
        return await self._connection.call(lambda s: s.queue.PauseQueue, request, timeout)

    async def resume_queue(
        self,
        *,
        account: str = "",
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> queue_pb2.ResumeQueueResponse:
        """End a pause, named as it was begun."""
        request = queue_pb2.ResumeQueueRequest(selector=control.selector(account, (), labels))
        return await self._connection.call(lambda s: s.queue.ResumeQueue, request, timeout)
