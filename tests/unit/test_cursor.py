"""Cursors survive the round trip, and nothing else is taken for one."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from mailproxy_server.reports.cursor import Cursor, decode, encode

HERE = Cursor(UUID(int=7), date(2030, 2, 28), 2**40)


def test_a_cursor_comes_back() -> None:
    assert decode(encode(HERE)) == HERE


def test_it_is_safe_in_shells_and_urls() -> None:
    assert encode(HERE).replace("-", "").replace("_", "").isalnum()


def test_later_reports_are_looked_for_from_its_day_on() -> None:
    assert HERE.not_before == datetime(2030, 2, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "x", "é", "AAAA", encode(HERE)[:-2], encode(HERE) + "AA", "=" * 40, "!" * 40, "A" * 39],
)
def test_other_text_is_no_cursor(text: str) -> None:
    assert decode(text) is None


def test_a_cursor_of_another_version_is_no_cursor() -> None:
    assert decode("Ag" + encode(HERE)[2:]) is None
