"""Messages that wait for their files, apart from those that are sent: they hold no connection.

Once the files are here the deliveries go back to the queue, where they are as due as they were:
who claims them next, on whichever replica, finds the message whole.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from mailproxy_server.content.sources.source import Unfetchable
from mailproxy_server.dispatcher import sending
from mailproxy_server.dispatcher.crew import Bug
from mailproxy_server.dispatcher.files import Files
from mailproxy_server.dispatcher.parcels import Parcel
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.dispatcher.sending import Sent
from mailproxy_server.queue.claim import Claimed

Done = Callable[[Sequence[Claimed], Sent], None]
"""Told what came of deliveries that were set apart."""


class Fetching:
    """Of one lane. A message is fetched for once, however many of its deliveries wait."""

    def __init__(self, files: Files, done: Done, bug: Bug) -> None:
        self._files = files
        self._done = done
        self._bug = bug
        self._waiting: dict[UUID, list[Claimed]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, parcel: Parcel, route: Route) -> None:
        """Set a parcel apart until its message's files are here."""
        message_id = parcel.content.message_id
        waiting = self._waiting.setdefault(message_id, [])
        waiting += parcel.claimed
        if len(waiting) > len(parcel.claimed):
            return
        task = asyncio.create_task(self._bring(parcel, route), name="fetching")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> list[Claimed]:
        """Stop; give all that waited."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        rows = [row for waiting in self._waiting.values() for row in waiting]
        self._waiting.clear()
        return rows

    async def _bring(self, parcel: Parcel, route: Route) -> None:
        content, policy = parcel.content, route.account.retry
        why: Exception | None = None
        try:
            await self._files.bring(route, content)
        except Exception as error:
            why = error
        rows = self._waiting.pop(content.message_id)
        if why is None:
            sent = Sent(returned=rows)
        elif isinstance(why, Unfetchable):
            sent = sending.unavailable(rows, content, policy, why)
        else:
            self._bug(content.message_id, why)
            sent = sending.faulty(rows, content, policy)
        self._done(rows, sent)
