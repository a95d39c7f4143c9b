"""How much a lane may hold claimed."""

from mailproxy_server.dispatcher.pace import MOST, Pace


def test_it_begins_with_a_few_for_each_connection() -> None:
    assert Pace(0.0).target(0.1, connections=10) == 40


def test_it_holds_about_a_second_of_what_it_sends() -> None:
    pace = Pace(0.0)
    pace.done(300)
    assert pace.target(0.5, connections=10) == 600


def test_a_quick_look_does_not_measure_anew() -> None:
    pace = Pace(0.0)
    pace.done(300)
    assert pace.target(0.5, connections=1) == 600
    assert pace.target(0.6, connections=1) == 600


def test_it_never_holds_more_than_a_bound() -> None:
    pace = Pace(0.0)
    pace.done(1_000_000)
    assert pace.target(1.0, connections=1) == MOST


def test_a_lane_that_has_come_to_a_halt_holds_little() -> None:
    pace = Pace(0.0)
    pace.done(1000)
    assert pace.target(1.0, connections=1) == 1000
    assert pace.target(9.0, connections=1) == 4
