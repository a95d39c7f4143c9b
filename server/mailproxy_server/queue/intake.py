"""Taking messages in: many callers, one commit.

While one commit is in flight the next batch collects; there are no timers. A caller that
goes away before its batch starts is taken out of it; one in a batch only stops waiting, for
what is being committed cannot be called back.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass

import asyncpg

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue.enqueue import NewMessage, Taken, take
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.unavailable import is_unavailable, unavailable

BATCH_RECIPIENTS = 500
BATCH_OCTETS = 4 * 2**20


@dataclass(slots=True, eq=False)
class _Waiting:
    message: NewMessage
    answer: asyncio.Future[Taken]


class Intake:
    """Coalesces concurrent submissions into group commits."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: deque[_Waiting] = deque()
        self._committer: asyncio.Task[None] | None = None

    async def submit(self, message: NewMessage) -> Taken:
        """Queue one message durably; return after its commit.

        Raises `Unavailable` when the database is away or the commit's answer was lost: the
        message may then be queued or not, and the same request_id finds out.
        """
        return await self._enter(message)

    async def submit_all(self, messages: Sequence[NewMessage]) -> list[Taken | BaseException]:
        """Queue many; each stands for itself."""
        answers = [self._enter(message) for message in messages]
        return await asyncio.gather(*answers, return_exceptions=True)

    async def close(self) -> None:
        """Wait until everything that was let in is committed or refused."""
        if self._committer is not None:
            await asyncio.wait([self._committer])

    def _enter(self, message: NewMessage) -> asyncio.Future[Taken]:
        answer: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(message, answer))
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(
                self._commit_all(), name="intake", context=Context()
            )  # it outlives its first caller, whose trace the others are no part of
        return answer

    async def _commit_all(self) -> None:
        await asyncio.sleep(0)  # calls that came together are all let in first
        while batch := self._collect():
            try:
                await self._commit(batch)
            except Exception as error:  # every caller learns of it; the committer goes on
                if isinstance(error, Unavailable):
                    batch += self._waiting  # or the last one would wait once for each batch
                    self._waiting.clear()
                _refuse(batch, error)

    def _collect(self) -> list[_Waiting]:
        """Take the next batch out; those whose caller is gone are left behind."""
        batch: list[_Waiting] = []
        recipients = octets = 0
        while self._waiting:
            head = self._waiting[0]
            if not head.answer.done():
                recipients += len(head.message.recipients)
                octets += len(head.message.content)
                if batch and (recipients > BATCH_RECIPIENTS or octets > BATCH_OCTETS):
                    break
                batch.append(head)
            self._waiting.popleft()
        batch.sort(key=lambda w: (w.message.tenant_id.bytes, w.message.request_id or ""))
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            async with borrowed(self._pool) as link:
                answers = await take(link, [w.message for w in batch])
        except (asyncpg.PostgresError, ValueError) as error:
            if len(batch) == 1:
                raise
            del error
            for one in batch:  # one of them is at fault: each by itself, the others are fine
                try:
                    await self._commit([one])
                except Exception as fault:
                    _refuse([one], fault)
            return
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)


def _refuse(batch: Sequence[_Waiting], error: Exception) -> None:
    if is_unavailable(error) and not isinstance(error, Unavailable):
        error = unavailable(error)
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
