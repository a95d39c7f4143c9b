"""MessageService: takes messages in, tells where they stand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from mailproxy.v1 import message_pb2
from mailproxy.v1.delivery_pb2 import RecipientStatus

from mailproxy_server.accounts.cache import AccountCache
from mailproxy_server.mail.errors import invalid
from mailproxy_server.queue import read, standings, wake
from mailproxy_server.queue.enqueue import Accepted, Known, NewMessage, Taken
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.intake import Intake
from mailproxy_server.reports.tail import Tail
from mailproxy_server.rpc import (
    cancelling,
    explaining,
    listing,
    standing,
    submission,
    watching,
)
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.controlling import Controlling, stand
from mailproxy_server.rpc.depth import Depth
from mailproxy_server.rpc.faults import Faults
from mailproxy_server.rpc.find import find, not_found
from mailproxy_server.rpc.outlook import Outlook
from mailproxy_server.rpc.preparing import Preparing
from mailproxy_server.rpc.producing import Producing
from mailproxy_server.rpc.status import to_status
from mailproxy_server.rpc.uploading import Uploads

BATCH_LIMIT = 1000

Submit = message_pb2.SubmitMessageRequest
Submitted = message_pb2.SubmitMessageResponse
Stands = Mapping[UUID, Sequence[RecipientStatus]]


@dataclass(frozen=True, slots=True)
class Messages:
    """The servicer."""

    pool: Pool
    intake: Intake
    bell: wake.Bell
    accounts: AccountCache
    preparing: Preparing
    depth: Depth
    tail: Tail
    outlook: Outlook
    uploads: Uploads
    faults: Faults
    producing: Producing

    async def SubmitMessage(self, request: Submit, call: Call) -> Submitted:
        """Queue one message durably."""
        return await self._submit(request, call, "")

    async def SubmitMessages(
        self, request: message_pb2.SubmitMessagesRequest, call: Call
    ) -> message_pb2.SubmitMessagesResponse:
        """Queue many; one result each."""
        if not 1 <= len(request.requests) <= BATCH_LIMIT:
            raise invalid("requests", f"give 1 to {BATCH_LIMIT} requests")
        self.producing.enter(call)
        prepared = await self.preparing.all(request.requests, call)
        wanted = [p for p in prepared if isinstance(p, NewMessage)]
        await self.depth.admit(call.tenant_id, sum(len(m.recipients) for m in wanted))
        traced, spans = self.producing.begin(wanted, call.traceparent)
        answers = await self.intake.submit_all(traced)
        self.producing.end(spans, answers)
        answered = iter(await self._answers(wanted, answers))
        response = message_pb2.SubmitMessagesResponse()
        for one in prepared:
            answer = next(answered) if isinstance(one, NewMessage) else one
            if isinstance(answer, BaseException):
                error = to_status(self.faults.translate(answer))
                response.results.add().error.CopyFrom(error)
            else:
                response.results.add().response.CopyFrom(answer)
        return response

    async def WatchMessage(
        self, request: message_pb2.WatchMessageRequest, call: Call
    ) -> AsyncIterator[message_pb2.WatchMessageResponse]:
        """Stream one message's reports until all of its recipients are final."""
        if request.WhichOneof("target") == "submit":
            submitted = await self._submit(request.submit, call, "submit.")
            yield message_pb2.WatchMessageResponse(submitted=submitted)
            if request.submit.validate_only:
                return
            message_id = UUID(submitted.message_id)
        else:
            async with borrowed(self.pool) as link:
                message_id = await find(
                    link, call.tenant_id, request.message_id, request.request_id
                )
        del request  # a stream may live long, and what was submitted may be large
        call.release()
        async for reports in watching.watch(self.pool, self.tail, call.tenant_id, message_id):
            yield message_pb2.WatchMessageResponse(reports=reports)

    async def GetMessage(
        self, request: message_pb2.GetMessageRequest, call: Call
    ) -> message_pb2.GetMessageResponse:
        """Read one message and where its recipients stand."""
        tenant_id = call.tenant_id
        async with (
            borrowed(self.pool) as link,
            link.transaction(isolation="repeatable_read", readonly=True),
        ):
            message_id = await find(link, tenant_id, request.message_id, request.request_id)
            stored = await read.message(link, tenant_id, message_id)
            if stored is None:
                raise not_found(f"message_id {message_id}")
            head = await read.head(link, tenant_id)
            stands = await standings.one(link, tenant_id, message_id)
            reports = await read.of_message(
                link, tenant_id, message_id, transcripts=request.include_attempts
            )
        statuses = standing.recipients(stands, reports, head)
        response = standing.message(stored, statuses)
        response.attempts.extend(standing.attempts(reports))
        return response

    async def ListMessages(
        self, request: message_pb2.ListMessagesRequest, call: Call
    ) -> message_pb2.ListMessagesResponse:
        """List messages, the newest first."""
        return await listing.page(self.pool, request, call)

    async def ExplainMessage(
        self, request: message_pb2.ExplainMessageRequest, call: Call
    ) -> message_pb2.ExplainMessageResponse:
        """Say why a message waits, and until when."""
        return await explaining.message(self.pool, request, call)

    async def CancelMessage(
        self, request: message_pb2.CancelMessageRequest, call: Call
    ) -> message_pb2.CancelMessageResponse:
        """Withdraw what has not begun to be sent."""
        response = await cancelling.message(self.pool, request, call)
        if response.cancelled:
            self.bell.ring(wake.REPORTS, [str(call.tenant_id)])
        return response

    async def RescheduleMessage(
        self, request: message_pb2.RescheduleMessageRequest, call: Call
    ) -> message_pb2.RescheduleMessageResponse:
        """Give what has not been sent another time."""
        return await Controlling(self.pool, self.bell, self.accounts).reschedule(request, call)

    async def RetryMessage(
        self, request: message_pb2.RetryMessageRequest, call: Call
    ) -> message_pb2.RetryMessageResponse:
        """Bring failed and expired recipients back to the queue."""
        return await Controlling(self.pool, self.bell, self.accounts).retry(request, call)

    async def UploadAttachment(
        self, requests: AsyncIterator[message_pb2.UploadAttachmentRequest], call: Call
    ) -> message_pb2.UploadAttachmentResponse:
        """Keep a file that messages may name."""
        return await self.uploads.take(requests, call)

    async def _submit(self, request: Submit, call: Call, path: str) -> Submitted:
        self.producing.enter(call)
        message = await self.preparing.one(request, call, path)
        if request.validate_only:
            return Submitted()
        await self.depth.admit(call.tenant_id, len(message.recipients))
        (message,), spans = self.producing.begin([message], call.traceparent)
        try:
            taken = await self.intake.submit(message)
        except BaseException as error:
            self.producing.end(spans, [error])
            raise
        self.producing.end(spans, [taken])
        (answer,) = await self._answers([message], [taken])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _answers(
        self, messages: Sequence[NewMessage], taken: Sequence[Taken | BaseException]
    ) -> list[Submitted | BaseException]:
        """Word what became of each; how those fare that were queued before is read together."""
        stands: Stands = {}
        unread: Exception | None = None
        if known := {one.message_id for one in taken if isinstance(one, Known)}:
            try:
                async with borrowed(self.pool) as link:
                    stands = await stand(link, messages[0].tenant_id, known)
            except Exception as error:  # theirs alone: the others are queued, and hear of it
                unread = error
        answers: list[Submitted | BaseException] = []
        for message, one in zip(messages, taken, strict=True):
            try:
                answers.append(self._answer(message, one, unread or stands))
            except Exception as error:  # of one must not sink the rest
                answers.append(error)
        return answers

    def _answer(
        self, message: NewMessage, taken: Taken | BaseException, stands: Stands | Exception
    ) -> Submitted:
        if isinstance(taken, BaseException):
            raise taken
        if isinstance(taken, Accepted):
            self.bell.ring(wake.DUE, [f"{message.tenant_id}/{message.account_id}"])
            return submission.accepted(message, taken, self.outlook)
        submission.same_or_refused(taken, message)
        if isinstance(stands, Exception):
            raise stands
        return submission.known(taken, stands[taken.message_id])
