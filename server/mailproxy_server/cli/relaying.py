"""Moves mail from the outbox of an application's own database to a server.

Rows are locked while they are submitted and removed when the server has them. What dies in
between is submitted again under the same request_id, and so queued once.
"""

import asyncio
from collections.abc import Callable, Sequence

import asyncpg
from google.protobuf.json_format import Parse, ParseError
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.errors import InvalidRequestError, MailProxyError
from mailproxy.submission import AsyncSubmission
from mailproxy.v1 import message_pb2

BATCH = 200
_POLL_SECONDS = 0.1
_RETRY_SECONDS = 2.0
_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

_TAKE = """
SELECT outbox_id, request_id, email::text, traceparent FROM mailproxy.outbox
WHERE refused_at IS NULL ORDER BY outbox_id LIMIT $1 FOR UPDATE SKIP LOCKED
"""

_REFUSE = """
UPDATE mailproxy.outbox SET refused_at = now(), field = $2, error = $3 WHERE outbox_id = $1
"""

Row = asyncpg.Record


class Relay:
    """Moves from the database at `source` through `client`.

    `name` names that database in the request_ids of rows that have none. `say` is told of
    progress, a line at a time.
    """

    def __init__(
        self, source: str, client: AsyncMailProxyClient, name: str, say: Callable[[str], None]
    ) -> None:
        self._source = source
        self._client = client
        self._name = name
        self._say = say
        self._awake = asyncio.Event()

    async def once(self) -> bool:
        """Move what there is; False when some of it could not be moved for now."""
        link = await self._connect()
        try:
            while (left := await self._move(link)) == 0:
                pass
            return left < 0
        finally:
            await link.close()

    async def run(self) -> bool:
        """Move until cancelled; a database or a server that is away is waited for."""
        while True:
            try:
                await self._follow()
            except _AWAY as error:
                self._say(f"the database is away ({type(error).__name__}); trying again")
                await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self) -> None:
        link = await self._connect()
        try:
            await link.add_listener("mailproxy_outbox", lambda *_: self._awake.set())
            while True:
                self._awake.clear()
                while (left := await self._move(link)) == 0:
                    pass
                pause = _POLL_SECONDS if left < 0 else _RETRY_SECONDS
                try:
                    async with asyncio.timeout(pause):
                        await self._awake.wait()
                except TimeoutError:
                    pass  # a plain INSERT tells nobody: this is the poll
        finally:
            await link.close(timeout=1)

    async def _connect(self) -> "asyncpg.Connection[Row]":
        link: asyncpg.Connection[Row] = await asyncpg.connect(self._source, timeout=10)
        self._name = self._name or await _name_of(link)
        return link

    async def _move(self, link: "asyncpg.Connection[Row]") -> int:
        """Move one batch; give how many of it are left for later, -1 when there was none."""
        async with link.transaction():
            rows = await link.fetch(_TAKE, BATCH)
            if not rows:
                return -1
            good: list[tuple[int, message_pb2.SubmitMessageRequest]] = []
            refused = 0
            for row in rows:
                try:
                    good.append((row["outbox_id"], self._request(row)))
                except (ParseError, ValueError) as error:
                    refused += 1
                    await link.execute(_REFUSE, row["outbox_id"], "email", str(error)[:500])
            answers = await self._client.submit_many([request for _, request in good], timeout=30)
            sent, left = [], 0
            for (outbox_id, _), answer in zip(good, answers, strict=True):
                if isinstance(answer, AsyncSubmission):
                    sent.append(outbox_id)
                elif _final(answer):
                    refused += 1
                    field = answer.field_violations[0].field if answer.field_violations else ""
                    await link.execute(_REFUSE, outbox_id, field, answer.message[:500])
                else:
                    left += 1
            await link.execute("DELETE FROM mailproxy.outbox WHERE outbox_id = ANY($1)", sent)
        words = f"moved {len(sent)}"
        words += f", refused {refused}" if refused else ""
        words += f", left for later {left}: {_why(answers)}" if left else ""
        self._say(words)
        return left

    def _request(self, row: Row) -> message_pb2.SubmitMessageRequest:
        request = message_pb2.SubmitMessageRequest(
            request_id=row["request_id"] or f"outbox/{self._name}/{row['outbox_id']}",
            traceparent=row["traceparent"] or "",
        )
        request.email.SetInParent()
        Parse(row["email"], request.email, max_recursion_depth=20)
        return request


def _final(error: MailProxyError) -> bool:
    """Whether the same request would be refused again."""
    return isinstance(error, InvalidRequestError) or error.reason in (
        "REQUEST_ID_REUSED",
        "ACCOUNT_NOT_FOUND",
    )


def _why(answers: Sequence[AsyncSubmission | MailProxyError]) -> str:
    return next((a.message for a in answers if isinstance(a, MailProxyError) and not _final(a)), "")


async def _name_of(link: "asyncpg.Connection[Row]") -> str:
    """Give what tells this database from all others."""
    try:
        cluster = await link.fetchval("SELECT system_identifier FROM pg_control_system()")
    except asyncpg.InsufficientPrivilegeError:
        cluster = await link.fetchval("SELECT coalesce(host(inet_server_addr()), 'local')")
    return f"{cluster}/{await link.fetchval('SELECT current_database()')}"
