"""Rate limits: what a reservation takes of every window, for how long, and what comes after."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from mailproxy_server.policy import windows
from mailproxy_server.policy.sliding import Fullest, Sliding, worst
from mailproxy_server.policy.steady import Look
from mailproxy_server.policy.usage import Usage, Used
from mailproxy_server.policy.windows import Limit, Room, Unit

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
SECOND, MINUTE, TEN, HOUR, DAY = (Limit(5, w) for w in (1.0, 60.0, 10.0, 3600.0, 86400.0))
MESSAGES = Limit(2, 1.0, Unit.MESSAGES)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def reserved(*limits: Limit, recipients: int = 5, messages: int = 1, at: float = 0) -> Usage:
    return windows.reserve(Usage(), limits, after(at), recipients=recipients, messages=messages)


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ([SECOND], 0.1),
        ([MINUTE], 6.0),
        ([TEN], 1.0),
        ([MINUTE, SECOND, DAY], 0.1),
        ([Limit(1, 0.2)], windows.LEAST_HOLD),
        ([HOUR], windows.MOST_HOLD),
        ([DAY], windows.MOST_HOLD),
        ([], windows.MOST_HOLD),
    ],
)
def test_a_reservation_holds_a_tenth_of_the_shortest_window_within_bounds(
    limits: list[Limit], seconds: float
) -> None:
    assert windows.hold(limits) == seconds


@pytest.mark.parametrize(
    ("limit", "hold", "bucket"),
    [(SECOND, 0.1, 0.05), (TEN, 1, 1 / 6), (MINUTE, 6, 1), (HOUR, 6, 60), (DAY, 6, 1440)],
)
def test_it_counts_over_the_window_and_the_hold_and_one_bucket_at_most(
    limit: Limit, hold: float, bucket: float
) -> None:
    for place in (0, 0.3, 0.999):
        begin = place * bucket
        usage = reserved(limit, at=begin)
        assert windows.used(usage, limit, after(begin + limit.window + hold)) == 5
        assert windows.used(usage, limit, after(begin + limit.window + hold + bucket + 1e-4)) == 0


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ((), Room()),
        ((Limit(9, 1.0),), Room(4)),
        ((Limit(9, 1.0), Limit(8, 60.0)), Room(3)),
        ((Limit(3, 1.0, Unit.MESSAGES),), Room(None, 2)),
        ((Limit(9, 1.0), Limit(3, 1.0, Unit.MESSAGES)), Room(4, 2)),
        ((Limit(5, 1.0),), Room(0, None, after(1.15))),
        ((Limit(3, 1.0),), Room(0, None, after(1.15))),
        ((Limit(9, 1.0), Limit(1, 1.0, Unit.MESSAGES)), Room(4, 0, after(1.15))),
        ((Limit(5, 1.0), Limit(5, 60.0)), Room(0, None, after(61))),
    ],
)
def test_room_is_what_every_limit_leaves(limits: tuple[Limit, ...], left: Room) -> None:
    usage = reserved(SECOND)
    assert windows.room(usage, limits, NOW) == left


def test_there_is_room_for_one_when_it_was_said_to_open_and_not_before() -> None:
    usage = reserved(SECOND, MINUTE, at=0.033)
    opens_at = windows.room(usage, [SECOND], after(0.04)).opens_at
    assert opens_at is not None
    assert windows.room(usage, [SECOND], opens_at) == Room(5)
    just_before = opens_at - timedelta(microseconds=1)
    assert windows.room(usage, [SECOND], just_before).recipients == 0


def test_usage_comes_back_from_its_text_as_it_was() -> None:
    usage = Usage()
    for step in range(200):
        usage = windows.reserve(usage, [SECOND, TEN], after(step), recipients=3, messages=2)
    text = usage.to_json()
    assert Usage.from_json(text) == usage
    assert Usage.from_json("{}") == Usage()
    assert len(text) < 4096


@pytest.mark.parametrize("text", ["[]", '{"1": [1, 2]}', '{"a": []}', "x"])
def test_a_text_that_no_usage_gave_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        Usage.from_json(text)


def test_its_clock_comes_back_with_it_and_earlier_versions_read_over_it() -> None:
    usage = windows.looked(reserved(SECOND), Look(7, 100, 2, windows.micro(NOW)))
    usage = windows.looked(usage, Look(8, 500, 3, windows.micro(after(3600))))
    text = usage.to_json()
    assert Usage.from_json(text) == usage
    others = {key: flat for key, flat in json.loads(text).items() if int(key) <= 0}
    assert sorted(others) == ["-7", "-8", "0"]
    assert {len(flat) for flat in others.values()} == {3}
    assert Usage.from_json("{}").steady.latest == 0


def test_what_was_stamped_ahead_of_now_before_anybody_looked_counts_for_its_window() -> None:
    usage = windows.looked(reserved(MINUTE), Look(7, 0, 0, windows.micro(after(-3600))))
    assert windows.used(usage, MINUTE, after(-3600)) == 5
    assert windows.used(usage, MINUTE, after(-3600 + 67)) == 0
    assert windows.used(usage, DAY, after(-3600 + 67)) == 5


def test_readers_are_told_by_the_clock_of_the_database_whatever_was_made_good() -> None:
    usage = windows.looked(Usage(), Look(7, 0, 0, windows.micro(NOW)))
    usage = windows.reserve(usage, [MINUTE], NOW, recipients=5, messages=1)
    usage = windows.looked(usage, Look(7, 1_000_000, 0, windows.micro(after(3601))))
    opens_at = windows.room(usage, [MINUTE], after(3601)).opens_at
    assert opens_at is not None
    assert 65 < (opens_at - after(3601)).total_seconds() < 67


def test_what_counts_no_more_is_forgotten() -> None:
    usage = reserved(SECOND)
    usage = windows.reserve(usage, [SECOND], after(100_000), recipients=1, messages=1)
    assert [len(buckets) for buckets in usage.counts.values()] == [1, 1, 1, 1]


@pytest.mark.parametrize("added", [MINUTE, HOUR, DAY])
def test_a_new_standard_limit_knows_what_was_sent_before(added: Limit) -> None:
    assert windows.used(reserved(SECOND), added, after(30)) == 5


def test_a_new_window_of_another_length_counts_too_much_rather_than_too_little() -> None:
    usage = reserved(SECOND, at=0.85)
    assert windows.used(usage, TEN, after(10.95)) == 5
    assert windows.used(usage, TEN, after(12)) == 0
    usage = windows.reserve(usage, [TEN], after(2), recipients=1, messages=1)
    assert windows.used(usage, TEN, after(10.95)) == 6
    assert windows.used(usage, TEN, after(12)) == 1


def test_a_lowered_limit_counts_all_that_was_sent_under_the_higher_one() -> None:
    usage = reserved(Limit(100, 60.0), recipients=80)
    assert windows.room(usage, [Limit(10, 60.0)], after(1)) == Room(0, None, after(67))
    assert windows.room(usage, [Limit(200, 60.0)], after(1)) == Room(120)


def test_a_shorter_limit_waits_for_what_still_holds_under_the_longer_one() -> None:
    usage = reserved(DAY)
    assert windows.used(usage, SECOND, after(6.9)) == 5
    assert windows.used(usage, SECOND, after(7.1)) == 0


def test_a_clock_that_was_set_back_makes_reservations_count_longer() -> None:
    usage = reserved(SECOND)
    assert windows.used(usage, SECOND, after(-5)) == 5
    usage = windows.reserve(usage, [SECOND], after(-5), recipients=1, messages=1)
    assert windows.used(usage, SECOND, after(0)) == 5
    assert windows.used(usage, SECOND, after(-4)) == 6


def _simulated(limits: list[Limit], usage: Usage, count: int) -> list[datetime]:
    """Send one after another, each as soon as there is room."""
    now = NOW
    sent: list[datetime] = []
    while len(sent) < count:
        room = windows.room(usage, limits, now)
        if room.opens_at:
            now = room.opens_at
            continue
        usage = windows.reserve(usage, limits, now, recipients=1, messages=1)
        sent.append(now)
    return sent


@pytest.mark.parametrize("limit", [SECOND, TEN, MINUTE, Limit(1, 1.0), Limit(7, 3600.0)])
@pytest.mark.parametrize("before", [0, 3, 9])
def test_the_estimate_is_what_one_limit_comes_to(limit: Limit, before: int) -> None:
    usage = reserved(limit, recipients=before, at=-0.02)
    sent = _simulated([limit], usage, 40)
    assert [windows.room_at(usage, [limit], NOW, ahead) for ahead in range(40)] == sent


def test_the_estimate_of_several_limits_is_the_latest_of_each() -> None:
    both = [Limit(5, 1.0), Limit(30, 10.0)]
    each = [windows.room_at(Usage(), both, NOW, ahead) for ahead in range(200)]
    assert each[0] == NOW
    assert all(a <= b for a, b in pairwise(each))
    sent = _simulated(both, Usage(), 200)
    assert all(told <= came for told, came in zip(each, sent, strict=True))
    assert (each[-1] - NOW) > 0.9 * (sent[-1] - NOW)


def test_an_estimate_far_ahead_costs_no_more() -> None:
    usage = reserved(SECOND)
    far = windows.room_at(usage, [SECOND], NOW, 100_000)
    assert timedelta(seconds=22_000) < far - NOW < timedelta(seconds=24_000)
    farther = windows.room_at(usage, [Limit(1, 86400.0)], NOW, 10**12)
    assert farther - NOW == timedelta(days=3650)


def test_without_limits_the_next_goes_now() -> None:
    assert windows.room_at(Usage(), [], NOW, 7) == NOW


def test_the_fullest_window_includes_both_its_ends() -> None:
    instants = [after(s) for s in (0, 5, 10, 10.000001, 19.9)]
    assert worst(instants, 10.0) == Fullest(NOW, 3)
    assert worst(instants, 9.999999).count == 3
    assert worst([], 1.0) == Fullest()


def test_a_long_log_is_slid_over_without_being_kept() -> None:
    sliding = Sliding(1.0)
    for step in range(50_000):
        sliding.add(after(step * 0.25), 2)
    assert sliding.fullest == Fullest(NOW, 10)
    assert len(sliding._instants) < 10_000
    with pytest.raises(ValueError, match="order"):
        sliding.add(NOW)


def test_the_text_is_compact() -> None:
    written = json.loads(reserved(SECOND, recipients=7, messages=2).to_json())
    assert [flat[1:] for flat in written.values()] == [[7, 2]] * 4
    assert Used(1, 2).plus(Used(3, 4)) == Used(4, 6)
