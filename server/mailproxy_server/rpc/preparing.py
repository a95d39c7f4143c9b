"""Submissions on their way in: checked, with their accounts resolved, and what they name there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from mailproxy.v1 import message_pb2

from mailproxy_server.accounts.cache import AccountCache
from mailproxy_server.content.codec import Admitted
from mailproxy_server.content.submission import check
from mailproxy_server.mail.errors import CallerError, FieldViolation, InvalidFields, invalid
from mailproxy_server.queue import read
from mailproxy_server.queue.enqueue import NewMessage
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.ids import born
from mailproxy_server.rpc import submission
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.templating import Templating
from mailproxy_server.rpc.unknown import refuse_unknown
from mailproxy_server.rpc.uploading import Uploads

_BREATH = 25
"""Requests of a batch that are checked before other calls have a turn."""

Submit = message_pb2.SubmitMessageRequest
Submitted = message_pb2.SubmitMessageResponse
Templated = message_pb2.TemplatedContent


@dataclass(frozen=True, slots=True)
class Preparing:
    """Makes of requests what the queue takes."""

    pool: Pool
    accounts: AccountCache
    uploads: Uploads
    templating: Templating

    async def one(self, request: Submit, call: Call, path: str) -> NewMessage:
        """Check a request and resolve its account."""
        rendered = None
        if request.email.WhichOneof("content") == "templated":
            rendered = request.email.templated
            request = await self.templating.composed(request, call.tenant_id, path)
        admitted = await self._admitted(request, call, path, rendered)
        account_id = self.accounts.peek(call.tenant_id, admitted.account_id)
        if account_id is None:
            try:
                account_id = await self.accounts.resolve(call.tenant_id, admitted.account_id)
            except CallerError as error:
                if await self._known(request, call.tenant_id) is None:
                    raise _at_field(error, f"{path}email.account_id") from None
                account_id = admitted.account_id  # deleted since; it was accepted before that
        if admitted.blobs:
            try:
                await self._check_files(request, call, account_id, admitted, path)
            except InvalidFields:
                if await self._known(request, call.tenant_id) is None:
                    raise
        return submission.new_message(
            call.tenant_id, account_id, request, admitted, submission.utc_now(), call.traceparent
        )

    async def _admitted(
        self, request: Submit, call: Call, path: str, rendered: Templated | None
    ) -> Admitted:
        try:
            return check(request, submission.utc_now(), path, rendered)
        except InvalidFields as error:
            known = await self._known(request, call.tenant_id)
            if known is None or not request.email.HasField("expire_time"):
                raise _in_words_of(error, rendered) from None
        return check(request, born(known), path, rendered)  # for the hour it came first

    async def _check_files(
        self, request: Submit, call: Call, account_id: str, admitted: Admitted, path: str
    ) -> None:
        """See that what a message names of uploads and endpoints is there."""
        if any(admitted.blobs or ()):
            await self.uploads.check_named(call, admitted, path)
        named = {
            number: file.endpoint.name
            for number, file in enumerate(request.email.composed.attachments)
            if file.WhichOneof("source") == "endpoint"
        }
        known = await self.accounts.endpoints(call.tenant_id, account_id) if named else set()
        for number, name in named.items():
            if name not in known:
                there = f"it has {', '.join(sorted(known))}" if known else "it has none"
                raise invalid(
                    f"{path}email.composed.attachments[{number}].endpoint.name",
                    f"the account {account_id} has no endpoint {name}; {there}",
                )

    async def _known(self, request: Submit, tenant_id: UUID) -> UUID | None:
        """Give the message that a request_id made before, None when it made none.

        Who lost the first answer repeats the call, and must not be refused for what changed since.
        """
        if not request.request_id:
            return None
        async with borrowed(self.pool) as link:
            return await read.by_request(link, tenant_id, request.request_id)

    async def all(
        self, requests: Sequence[Submit], call: Call
    ) -> list[NewMessage | Submitted | Exception]:
        """Prepare many; each stands for itself, and other calls have a turn in between."""
        prepared: list[NewMessage | Submitted | Exception] = []
        size = call.size // len(requests)
        for number, request in enumerate(requests):
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            try:
                refuse_unknown(request, size, f"requests[{number}]")
                message = await self.one(request, call, f"requests[{number}].")
                prepared.append(Submitted() if request.validate_only else message)
            except Exception as error:
                prepared.append(error)
        return prepared


def _in_words_of(error: InvalidFields, rendered: Templated | None) -> InvalidFields:
    """Give the same error, with the paths of the content that the caller gave."""
    if rendered is None:
        return error
    old, new = "email.composed.", "email.templated.message."
    violations = [
        FieldViolation(one.field.replace(old, new, 1), one.description) for one in error.violations
    ]
    return InvalidFields(violations, error.reason)


def _at_field(error: CallerError, field: str) -> CallerError:
    """Give the same error, naming the field that is at fault."""
    violations = [FieldViolation(field, error.message)]
    return CallerError(error.reason, error.message, error.metadata, violations)
