"""The clock that is never set: it goes with the database's, and makes good what that jumps."""

import pytest
from mailproxy_server.policy.steady import Look, Steady

SECOND = 1_000_000
HOUR, DAY = 3600 * SECOND, 86400 * SECOND
BEGIN = 2_000_000_000 * SECOND


def look(at: int, *, by: int = 0, machine: int = 1, took: int = 0) -> Look:
    """Look at so many microseconds, by a database's clock that is wrong by `by`."""
    return Look(machine, machine * DAY + at, took, BEGIN + at + by)


def looked(*looks: Look) -> Steady:
    steady = Steady()
    for each in looks:
        steady = steady.looked(each)
    return steady


@pytest.mark.parametrize("by", [-DAY, -HOUR, HOUR, DAY])
def test_a_step_is_made_good_as_time_passed(by: int) -> None:
    steady = looked(look(0), look(100 * SECOND, by=by))
    passed = steady.latest - BEGIN
    assert 0 <= 100 * SECOND - passed <= SECOND, "slow, and by a thousandth at most"
    assert steady.at(BEGIN + 100 * SECOND + by) == steady.latest
    again = steady.looked(look(101 * SECOND, by=by))
    assert again.offset == steady.offset
    back = again.looked(look(102 * SECOND))
    assert abs(back.offset) <= SECOND


@pytest.mark.parametrize("wrong", [0, 900, -900])
def test_clocks_that_drift_are_not_set(wrong: int) -> None:
    steady = looked(look(0), look(SECOND, by=wrong))
    assert (steady.offset, steady.latest) == (0, BEGIN + SECOND + wrong)


def test_nor_is_a_clock_that_took_long_to_answer() -> None:
    steady = looked(look(0, by=0, took=0), look(SECOND, by=SECOND // 2, took=SECOND // 2))
    assert steady.offset == 0
    steady = looked(look(0, by=SECOND // 2, took=SECOND // 2), look(SECOND))
    assert steady.offset == 0


def test_a_machine_that_comes_first_takes_the_database_at_its_word_but_never_goes_back() -> None:
    ahead = looked(look(0), look(SECOND, by=HOUR, machine=2))
    assert ahead.latest == BEGIN + SECOND + HOUR
    behind = looked(look(0), look(SECOND, by=-HOUR, machine=2))
    assert behind.latest == BEGIN
    assert behind.at(BEGIN + 2 * SECOND - HOUR) == BEGIN + SECOND


def test_a_step_that_one_machine_made_good_is_none_for_the_other() -> None:
    steady = looked(look(0), look(0, machine=2), look(SECOND, by=HOUR))
    assert steady.seen.keys() == {1}
    both = steady.looked(look(SECOND, by=HOUR, machine=2))
    assert both.offset == steady.offset
    assert both.seen.keys() == {1, 2}


def test_it_remembers_a_few_machines_of_the_last_day() -> None:
    many = looked(*(look(number * SECOND, machine=number) for number in range(1, 20)))
    assert sorted(many.seen) == list(range(4, 20))
    assert many.looked(look(2 * DAY, machine=3)).seen.keys() == {3}
