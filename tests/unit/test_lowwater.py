"""Low-water bounds: never past what may still come, never back without a reason."""

from datetime import UTC, datetime, timedelta

from mailproxy_server.queue.lowwater import BEGINNING, LowWater

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MARGIN = timedelta(seconds=10)
EARLIER = NOW - timedelta(minutes=5)


def test_it_begins_at_the_beginning() -> None:
    assert list(LowWater(MARGIN).bounds) == [BEGINNING] * 4


def test_an_exhausted_claim_moves_all_bounds_to_the_margin_before_now() -> None:
    low = LowWater(MARGIN)
    low.exhausted(NOW)
    assert list(low.bounds) == [NOW - MARGIN] * 4


def test_a_filled_claim_moves_those_before_its_last_priority_and_stays_at_its_last_row() -> None:
    low = LowWater(MARGIN)
    low.taken(NOW, 30, EARLIER)
    assert list(low.bounds) == [NOW - MARGIN, NOW - MARGIN, EARLIER, BEGINNING]


def test_a_row_that_became_due_just_now_leaves_the_margin() -> None:
    low = LowWater(MARGIN)
    low.taken(NOW, 10, NOW)
    assert low.bounds[0] == NOW - MARGIN


def test_a_bound_never_moves_back_by_a_claim() -> None:
    low = LowWater(MARGIN)
    low.exhausted(NOW)
    low.taken(NOW, 40, EARLIER)
    low.exhausted(EARLIER)
    assert list(low.bounds) == [NOW - MARGIN] * 4


def test_a_release_lowers_its_own_priority_only() -> None:
    low = LowWater(MARGIN)
    low.exhausted(NOW)
    low.lower(20, EARLIER)
    assert list(low.bounds) == [NOW - MARGIN, EARLIER, NOW - MARGIN, NOW - MARGIN]


def test_a_reset_forgets_everything() -> None:
    low = LowWater(MARGIN)
    low.exhausted(NOW)
    low.reset()
    assert list(low.bounds) == [BEGINNING] * 4
