"""The crew: whatever is put on its rack is carried, whenever it is put there."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from mailproxy_server.dispatcher.crew import Crew
from mailproxy_server.dispatcher.parcels import Parcel
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.dispatcher.sending import Sent
from mailproxy_server.dispatcher.shelf import Shelf
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.contents import Content
from mailproxy_server.smtp.pool import Pool
from mailproxy_server.smtp.relay import Relay

from tests.support.eventually import eventually
from tests.support.queue import Queue
from tests.support.rated import account

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def expired(number: int) -> Parcel:
    """A parcel that ends without a dialogue."""
    message_id, over = UUID(int=number), LONG_AGO + timedelta(days=1)
    row = Claimed(
        UUID(int=1),
        message_id,
        0,
        "a",
        "u@b.test",
        priority=30,
        due_at=LONG_AGO,
        attempts=0,
        claim_no=1,
        doubtful=False,
        cancel_requested=False,
        marked=False,
        spared=0,
        expire_at=over,
        round_at=None,
        claimed_at=None,
    )
    content = Content(message_id, LONG_AGO, None, "a@a.test", 1, b"x", None, at_most_once=False)
    return Parcel(content, (row,))


async def test_a_parcel_that_comes_as_the_only_sender_ends_is_carried(mail_queue: Queue) -> None:
    """It comes in the step after the sender found the rack empty, before anybody is told that
    the sender's task is over."""
    carried: list[UUID] = []
    route = Route(account(mail_queue), Pool(Relay("127.0.0.1", 1)))

    def done(sent: Sent) -> None:
        carried.extend(one.claimed.message_id for one in sent.settlements)
        if len(carried) == 1:
            asyncio.get_running_loop().call_soon(crew.carry, [expired(2)], route, 1)

    shelf = Shelf(mail_queue.pool, 0)
    crew = Crew(mail_queue.pool, mail_queue.worker_id, lambda: None, shelf, done, lambda *_: None)
    crew.carry([expired(1)], route, 1)
    await eventually(lambda: len(carried) == 2, "both are carried", seconds=5)
    assert carried == [UUID(int=1), UUID(int=2)]
