"""Parcels: recipients of one message share a transaction, and the most urgent goes next."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from mailproxy_server.dispatcher.parcels import Parcel, Rack, pack
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.contents import Content

DUE = datetime(2030, 1, 1, tzinfo=UTC)
TENANT = UUID(int=1)


def claimed(message: int, recipient: int = 0, priority: int = 30, late: int = 0) -> Claimed:
    due_at = DUE + timedelta(seconds=late)
    return Claimed(
        TENANT,
        UUID(int=message),
        recipient,
        "a",
        f"u{recipient}@b.test",
        priority,
        due_at,
        0,
        claim_no=1,
        doubtful=False,
        cancel_requested=False,
        marked=False,
        spared=0,
        expire_at=None,
        round_at=None,
        claimed_at=None,
    )


def content(message: int) -> Content:
    return Content(UUID(int=message), DUE, None, "a@a.test", 1, b"x", None, at_most_once=False)


def parcels(*rows: Claimed, most: int = 50) -> list[Parcel]:
    contents = {row.message_id: content(row.message_id.int) for row in rows}
    return list(pack(rows, contents, most))


def sizes(made: list[Parcel]) -> list[tuple[int, int]]:
    return [(parcel.content.message_id.int, len(parcel.claimed)) for parcel in made]


def test_recipients_of_one_message_share_a_parcel() -> None:
    assert sizes(parcels(claimed(1, 0), claimed(2, 0), claimed(1, 1))) == [(1, 2), (2, 1)]


def test_a_parcel_holds_no_more_recipients_than_a_transaction_may() -> None:
    rows = [claimed(1, number) for number in range(5)]
    assert sizes(parcels(*rows, most=2)) == [(1, 2), (1, 2), (1, 1)]


def test_the_rack_gives_priority_then_due_time_then_submission() -> None:
    rack = Rack()
    for parcel in parcels(claimed(4, priority=40), claimed(3, late=9), claimed(2), claimed(1)):
        rack.put(parcel)
    for parcel in parcels(claimed(5, priority=10, late=99)):
        rack.put(parcel)
    assert rack.lowest_priority == 40
    assert [rack.take().content.message_id.int for _ in range(5)] == [5, 1, 2, 3, 4]
    assert (len(rack), rack.lowest_priority) == (0, 0)


def test_a_cleared_rack_gives_back_what_was_in_it() -> None:
    rack = Rack()
    for parcel in parcels(claimed(1, 0), claimed(1, 1), claimed(2)):
        rack.put(parcel)
    assert sorted(row.message_id.int for row in rack.clear()) == [1, 1, 2]
    assert len(rack) == 0
