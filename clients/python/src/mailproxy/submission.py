"""What `submit()` returns: the acknowledged message, and a way to wait for its end."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mailproxy.v1 import delivery_pb2, message_pb2

if TYPE_CHECKING:
    from mailproxy.aio import AsyncMailProxyClient
    from mailproxy.sync import MailProxyClient


class Acknowledged:
    """A message that is durably queued (or, with `validate_only`, was found to be in order)."""

    __slots__ = ("request_id", "response")

    def __init__(self, request_id: str, response: message_pb2.SubmitMessageResponse) -> None:
        self.request_id = request_id
        """The request_id that it was submitted with."""
        self.response = response

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.message_id or 'validated'} {self.request_id!r}>"

    @property
    def message_id(self) -> str:
        """The message's id; "" after `validate_only`."""
        return self.response.message_id

    @property
    def replayed(self) -> bool:
        """This request_id had been accepted before."""
        return self.response.replayed

    @property
    def accept_time(self) -> datetime:
        """When it was queued."""
        return self.response.accept_time.ToDatetime(UTC)

    @property
    def recipients(self) -> list[delivery_pb2.RecipientStatus]:
        """One for each distinct recipient; on a replay as they stood at the call."""
        return list(self.response.recipients)


class Submission(Acknowledged):
    """An acknowledged message of `MailProxyClient`."""

    __slots__ = ("_client",)

    def __init__(
        self,
        client: "MailProxyClient",
        request_id: str,
        response: message_pb2.SubmitMessageResponse,
    ) -> None:
        super().__init__(request_id, response)
        self._client = client

    def wait(self, timeout: float | None = None) -> list[delivery_pb2.DeliveryReport]:
        """Wait until every recipient is final and give its last report, one a recipient.

        Raises `DeadlineError` when that takes longer than `timeout` seconds; the message
        stays queued.
        """
        if not self.message_id:
            return []
        with self._client.watch(self.message_id, timeout=timeout) as reports:
            return _last(list(reports))


class AsyncSubmission(Acknowledged):
    """An acknowledged message of `AsyncMailProxyClient`."""

    __slots__ = ("_client",)

    def __init__(
        self,
        client: "AsyncMailProxyClient",
        request_id: str,
        response: message_pb2.SubmitMessageResponse,
    ) -> None:
        super().__init__(request_id, response)
        self._client = client

    async def wait(self, timeout: float | None = None) -> list[delivery_pb2.DeliveryReport]:
        """Wait until every recipient is final and give its last report, one a recipient.

        Raises `DeadlineError` when that takes longer than `timeout` seconds; the message
        stays queued.
        """
        if not self.message_id:
            return []
        async with self._client.watch(self.message_id, timeout=timeout) as reports:
            return _last([report async for report in reports])


def _last(reports: list[delivery_pb2.DeliveryReport]) -> list[delivery_pb2.DeliveryReport]:
    newest = {report.recipient: report for report in reports if report.final}
    return list(newest.values())
