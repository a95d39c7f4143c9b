"""Moves mail from the outbox of an application's own database to a server.

Rows are locked while they are submitted and removed when the server has them. What dies in
between is submitted again under the same request_id, and so queued once.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.errors import InvalidRequestError, MailProxyError
from mailproxy.submission import AsyncSubmission
from mailproxy.v1 import message_pb2

from mailproxy_server.content.submission import read_json
from mailproxy_server.mail.errors import InvalidFields, invalid
from mailproxy_server.queue import outbox
from mailproxy_server.queue.outbox import Waiting
from mailproxy_server.queue.sessions import Session as Link
from mailproxy_server.queue.sessions import Sessions
from mailproxy_server.queue.unavailable import CannotConnect, why

BATCH = 200
LARGEST = 64 * 2**20
"""Octets of an email's JSON that are moved at all; what a server takes, it says itself."""
_CALL_SECONDS = 30.0
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 2.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNUSABLE = (
    asyncpg.UndefinedTableError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

Request: TypeAlias = message_pb2.SubmitMessageRequest
Answer: TypeAlias = AsyncSubmission | MailProxyError

_REFUSE = """
UPDATE mailproxy.outbox SET refused_at = now(), field = $2, error = $3 WHERE outbox_id = $1
"""


class Unusable(Exception):
    """There is no outbox to move from, or none that this role may use; trying again is no use."""


class Relay:
    """Moves from the database at `source` through `client`, at most `batch` rows at a time.

    `name` names that database in the request_ids of rows that have none. `say` is told of
    progress, a line at a time.
    """

    def __init__(
        self,
        source: str,
        client: AsyncMailProxyClient,
        name: str,
        say: Callable[[str], None],
        batch: int = BATCH,
    ) -> None:
        self._source = source
        self._client = client
        self._name = name
        self._say = say
        self._said = ""
        self._used = False
        self._batch = batch
        self._awake = asyncio.Event()
        self.moved = 0

    async def once(self) -> bool:
        """Move what there is; False when some of it could not be moved for now.

        Raises `Unusable`, and those of AWAY when the database does not answer.
        """
        link = await self._connect()
        try:
            return await self._move_all(link)
        except _UNUSABLE as error:
            raise _unusable(error) from error
        finally:
            await link.close(timeout=1)

    async def run(self) -> None:
        """Move until cancelled; a database or a server that is away is waited for."""
        while True:
            try:
                await self._follow()
            except _UNUSABLE as error:
                raise _unusable(error) from error
            except AWAY as error:
                self._tell(f"the database is away ({why(error)}); trying again")
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        link = await self._connect()
        try:
            await link.add_listener(outbox.CHANNEL, lambda *_: self._awake.set())
            while True:
                self._awake.clear()
                if not await self._move_all(link):
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                try:
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._awake.wait()
                except TimeoutError:
                    pass  # a plain INSERT tells nobody: this is the poll
        finally:
            await link.close(timeout=1)

    async def _connect(self) -> Link:
        try:
            link = await Sessions(self._source).connect("mailproxy outbox relay", ours=False)
        except CannotConnect as error:
            cause = error.__cause__
            # ValueError: a URL that is none. Once it was used, a refused login passes: a password
            # is being changed.
            if not self._used and isinstance(cause, (*_UNUSABLE, ValueError)):
                raise _unusable(cause) from error
            raise
        self._used = True
        self._name = self._name or await _name_of(link)
        return link

    async def _move_all(self, link: Link) -> bool:
        """Move until nothing is left; False when something had to be."""
        while await outbox.any_waiting(link):
            async with link.transaction():
                rows = await outbox.take(link, self._batch, LARGEST)
                if not rows:
                    break  # other relays have them
                left = await self._move(link, rows)
            if left:
                return False
        return True

    async def _move(self, link: Link, rows: Sequence[Waiting]) -> int:
        """Submit rows and remove them; give how many of them are left for later."""
        good: list[tuple[int, Request]] = []
        refused: list[tuple[int, str, str]] = []
        for row in rows:
            try:
                good.append((row.outbox_id, self._request(row)))
            except InvalidFields as error:
                fault = error.violations[0]
                refused.append((row.outbox_id, fault.field, fault.description))
        requests = [request for _, request in good]
        answers = await self._client.submit_many(requests, timeout=_CALL_SECONDS)
        sent, left = [], 0
        for (outbox_id, _), answer in zip(good, answers, strict=True):
            if isinstance(answer, AsyncSubmission):
                sent.append(outbox_id)
            elif _final(answer):
                faults = answer.field_violations
                refused.append((outbox_id, faults[0].field if faults else "", answer.message))
            else:
                left += 1
        await outbox.remove(link, sent)
        if refused:
            cut = [(each[0], each[1][:300], each[2][:500]) for each in refused]
            await link.executemany(_REFUSE, cut)
        self.moved += len(sent)
        self._tell_of(len(sent), len(refused), left, answers)
        return left

    def _request(self, row: Waiting) -> Request:
        """The request of a row; without a request_id, with one that no other row ever has.

        Its number alone would not do: a table that is made again, or restored, counts anew.
        """
        if row.email is None:
            raise invalid("email", f"is larger than {LARGEST} bytes")
        written_us = (row.created_at - _EPOCH) // timedelta(microseconds=1)
        own = f"outbox/{self._name}/{row.outbox_id}/{written_us:x}"
        return read_json(row.email, row.request_id or own, row.traceparent)

    def _tell_of(self, sent: int, refused: int, left: int, answers: Sequence[Answer]) -> None:
        words = f"moved {sent}"
        words += f", refused {refused}" if refused else ""
        words += f", left for later {left}: {_why(answers)}" if left else ""
        self._tell(words, again=bool(sent or refused))

    def _tell(self, words: str, *, again: bool = False) -> None:
        """Say it, unless it is what was said last: what is away is told of once."""
        if again or words != self._said:
            self._say(words)
        self._said = words


def _final(error: MailProxyError) -> bool:
    """Whether the same request would be refused again."""
    return isinstance(error, InvalidRequestError) or error.reason in (
        "REQUEST_ID_REUSED",
        "ACCOUNT_NOT_FOUND",
    )


def _why(answers: Sequence[Answer]) -> str:
    return next((a.message for a in answers if isinstance(a, MailProxyError) and not _final(a)), "")


def _unusable(error: Exception) -> Unusable:
    if isinstance(error, asyncpg.UndefinedTableError):
        return Unusable("that database has no outbox; make one: mailproxy outbox sql | psql URL")
    return Unusable(f"that database cannot be used: {error}")


async def _name_of(link: Link) -> str:
    """Give what tells this database from all others."""
    try:
        cluster = await link.fetchval("SELECT system_identifier FROM pg_control_system()")
    except asyncpg.InsufficientPrivilegeError:
        cluster = await link.fetchval("SELECT coalesce(host(inet_server_addr()), 'local')")
    return f"{cluster}/{await link.fetchval('SELECT current_database()')}"
