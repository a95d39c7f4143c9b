"""The client for threads. `mailproxy.aio` is its twin: the same calls with `await`."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Self, Unpack

from mailproxy import environment
from mailproxy.attachment import UPLOAD_ABOVE
from mailproxy.channel import Tls
from mailproxy.errors import MailProxyError
from mailproxy.message import Message, prepared, to_request
from mailproxy.resume import WatchPosition, report_position
from mailproxy.submission import Submission
from mailproxy.sync_accounts import Accounts
from mailproxy.sync_connection import SyncConnection
from mailproxy.sync_control import Control
from mailproxy.sync_reports import Reports
from mailproxy.sync_submitting import SyncSubmitting
from mailproxy.sync_templates import Templates
from mailproxy.sync_uploads import Uploads
from mailproxy.tracing import submitting
from mailproxy.v1 import delivery_pb2, message_pb2, queue_pb2


class MailProxyClient(Control, Accounts, Uploads, Templates):
    """A client of one server, for as many threads as there are; close it, or use `with`.

    `timeout`: seconds that a call may take in all, retries included, unless it says
    otherwise. `retry`: repeat calls that no server took. `coalesce`: let concurrent
    submissions travel together. `upload_above`: attachments of more bytes are uploaded before
    their message, which spares memory; None: never. Nothing is connected before the first call,
    and a child made by fork (gunicorn, Celery) gets a connection of its own.
    """

    def __init__(
        self,
        target: str = environment.DEFAULT_TARGET,
        token: str | None = None,
        *,
        tls: Tls = None,
        timeout: float = 10.0,
        retry: bool = True,
        coalesce: bool = True,
        upload_above: int | None = UPLOAD_ABOVE,
    ) -> None:
        self._connection = SyncConnection(target, token, tls, timeout, retry)
        self._submitting = SyncSubmitting(self._connection, coalesce)
        self._upload_above = upload_above

    @classmethod
    def from_env(cls, *, timeout: float = 10.0, retry: bool = True, coalesce: bool = True) -> Self:
        """Make a client from MAILPROXY_TARGET, MAILPROXY_TLS, and MAILPROXY_TOKEN or
        MAILPROXY_TOKEN_FILE, or else the token that a server on this machine left for its user.
        """
        return cls(
            environment.target(),
            environment.token(),
            tls=environment.tls(),
            timeout=timeout,
            retry=retry,
            coalesce=coalesce,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls that are under way fail."""
        self._connection.close()

    def submit(self, *, timeout: float | None = None, **message: Unpack[Message]) -> Submission:
        """Queue one message durably; its fields are those of `Message`."""
        message = self._with_uploads(message)
        return self.submit_request(to_request(message), timeout=timeout)

    def submit_request(
        self, request: message_pb2.SubmitMessageRequest, *, timeout: float | None = None
    ) -> Submission:
        """Queue one message durably, given as protobuf."""
        (result,) = self.submit_many([request], timeout=timeout)
        if isinstance(result, MailProxyError):
            raise result
        return result

    def submit_many(
        self,
        messages: Iterable[Message | message_pb2.SubmitMessageRequest],
        *,
        timeout: float | None = None,
    ) -> list[Submission | MailProxyError]:
        """Queue many messages; each stands for itself, and errors are returned, not raised."""
        messages = list(messages)
        with submitting(len(messages), self._connection.target) as submission:
            requests = [self._prepared(message) for message in messages]
            sent = [request for request in requests if not isinstance(request, MailProxyError)]
            answers = iter(self._submitting.submit(sent, timeout))
            results: list[Submission | MailProxyError] = []
            for request in requests:
                if isinstance(request, MailProxyError):
                    results.append(request)
                    continue
                answer = next(answers)
                if isinstance(answer, MailProxyError):
                    answer.metadata = {"request_id": request.request_id, **answer.metadata}
                    results.append(answer)
                else:
                    results.append(Submission(self, request.request_id, answer))
            submission.done(results)
        return results

    def watch(
        self, message_id: str = "", *, request_id: str = "", timeout: float | None = None
    ) -> Reports:
        """Iterate over one message's reports, from its first on, until all recipients are final."""
        request = message_pb2.WatchMessageRequest(message_id=message_id)
        if request_id:
            request.request_id = request_id
        return Reports(
            self._connection,
            lambda stubs: stubs.messages.WatchMessage,
            WatchPosition(request),
            timeout,
        )

    def delivery_reports(
        self,
        start: str | datetime = "earliest",
        *,
        account: str = "",
        message_ids: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        events: Iterable[str | int] = (),
        follow: bool = True,
    ) -> Reports:
        """Iterate over delivery reports without end, going on after every break where it was.

        `start`: "earliest" (that is kept), "now" (when iteration begins), a time, or a
        cursor. `events`: names as "sent". `follow` false: end when there is nothing more.
        """
        selector = delivery_pb2.Selector(account_id=account, message_ids=message_ids, labels=labels)
        position = report_position(start, selector, events, follow)
        return Reports(
            self._connection, lambda stubs: stubs.reports.StreamDeliveryReports, position, None
        )

    def get_message(
        self,
        message_id: str = "",
        *,
        request_id: str = "",
        include_attempts: bool = False,
        timeout: float | None = None,
    ) -> message_pb2.GetMessageResponse:
        """Read one message and where its recipients stand; with the SMTP dialogues if asked."""
        request = message_pb2.GetMessageRequest(
            message_id=message_id, request_id=request_id, include_attempts=include_attempts
        )
        return self._connection.call(lambda s: s.messages.GetMessage, request, timeout)

    def run_now(
        self,
        *,
        account: str = "",
        message_ids: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        include_retries: bool = False,
        include_scheduled: bool = False,
        timeout: float | None = None,
    ) -> int:
        """Make what matches due now; give how many deliveries that were."""
        request = queue_pb2.RunNowRequest(
            selector=delivery_pb2.Selector(
                account_id=account, message_ids=message_ids, labels=labels
            ),
            include_retries=include_retries,
            include_scheduled=include_scheduled,
        )
        response = self._connection.call(lambda s: s.queue.RunNow, request, timeout)
        return response.made_due

    def queue_status(
        self, account: str = "", *, timeout: float | None = None
    ) -> queue_pb2.GetQueueStatusResponse:
        """Count what waits, by account, and name the dispatchers."""
        request = queue_pb2.GetQueueStatusRequest(account_id=account)
        return self._connection.call(lambda s: s.queue.GetQueueStatus, request, timeout)

    def _prepared(
        self, message: Message | message_pb2.SubmitMessageRequest
    ) -> message_pb2.SubmitMessageRequest | MailProxyError:
        """Give the request for one message of many, or why there can be none."""
        if isinstance(message, message_pb2.SubmitMessageRequest):
            return prepared(message)
        try:
            return prepared(to_request(self._with_uploads(message)))
        except MailProxyError as error:
            return error
