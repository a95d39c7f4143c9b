"""Which log an offset belongs to, and which cursors are still good, case by case."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from mailproxy_server.mail.errors import CallerError
from mailproxy_server.queue.identity import Identity, differing
from mailproxy_server.queue.lineage import Head, Stretch
from mailproxy_server.reports.cursor import Cursor, decode, place

A, B, C, D = (UUID(int=n) for n in range(1, 5))
DAY = date(2030, 5, 6)
AT = datetime(2030, 5, 6, 7, tzinfo=UTC)
FIRST = Head(A, 100, AT)
LATER = Head(C, 200, AT, (Stretch(A, 100, AT), Stretch(B, 150, AT)))
UNUSED = Head(C, 120, AT, (Stretch(A, 100, AT), Stretch(B, 100, AT)))
"""Nothing was written to B: two failovers, one soon after the other."""


@pytest.mark.parametrize(
    ("head", "offset", "log_id"),
    [
        (FIRST, 1, A), (FIRST, 100, A), (FIRST, 101, A),
        (LATER, 0, A), (LATER, 100, A), (LATER, 101, B), (LATER, 150, B), (LATER, 151, C),
        (UNUSED, 100, A), (UNUSED, 101, C),
    ],
)  # fmt: skip
def test_a_report_is_named_by_the_log_it_was_first_written_to(
    head: Head, offset: int, log_id: UUID
) -> None:
    assert head.log_of(offset) == log_id


@pytest.mark.parametrize(
    ("head", "log_id", "offset"),
    [
        (FIRST, A, 0), (FIRST, A, 100),
        (LATER, A, 1), (LATER, A, 100), (LATER, B, 50), (LATER, B, 150), (LATER, C, 200),
        (UNUSED, B, 100),
    ],
)  # fmt: skip
def test_a_cursor_up_to_the_end_of_its_log_goes_on_in_this_one(
    head: Head, log_id: UUID, offset: int
) -> None:
    assert place(Cursor(log_id, DAY, offset), head) == Cursor(head.log_id, DAY, offset)


@pytest.mark.parametrize(
    ("head", "log_id", "offset", "common"),
    [
        (FIRST, A, 101, 100),
        (LATER, A, 101, 100), (LATER, A, 150, 100), (LATER, A, 2**63, 100),
        (LATER, B, 151, 150), (LATER, C, 201, 200), (UNUSED, B, 101, 100),
    ],
)  # fmt: skip
def test_a_cursor_past_the_end_of_its_log_is_told_where_to_go_on(
    head: Head, log_id: UUID, offset: int, common: int
) -> None:
    with pytest.raises(CallerError, match=f"offset {common}") as caught:
        place(Cursor(log_id, DAY, offset), head)
    assert caught.value.reason == "CURSOR_FOREIGN"
    assert caught.value.metadata["common_offset"] == str(common)
    cursor = decode(caught.value.metadata["common_cursor"])
    assert cursor == Cursor(log_id, DAY, common)
    assert place(cursor, head).offset == common


@pytest.mark.parametrize("offset", [0, 1, 100])
def test_a_cursor_of_a_log_that_is_not_known_is_foreign(offset: int) -> None:
    with pytest.raises(CallerError, match="earliest") as caught:
        place(Cursor(D, DAY, offset), LATER)
    assert (caught.value.reason, caught.value.metadata) == ("CURSOR_FOREIGN", {})


HERE = Identity(7, "00000001", 5, 17000)


@pytest.mark.parametrize(
    ("noted", "now", "what"),
    [
        (HERE, HERE, ()),
        (HERE, HERE._replace(timeline="00000002"), ("timeline",)),
        (HERE, HERE._replace(system_identifier=8, table_oid=1), ("system_identifier", "table_oid")),
        (HERE, HERE._replace(database_oid=6), ("database_oid",)),
        (HERE, HERE._replace(system_identifier=None), ()),
        (HERE._replace(timeline=None), HERE, ()),
        (Identity(None, None, None, None), HERE, ("note",)),
    ],
)
def test_a_database_is_another_one_by_what_is_known_of_both(
    noted: Identity, now: Identity, what: tuple[str, ...]
) -> None:
    assert differing(noted, now) == what
