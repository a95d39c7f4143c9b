"""The throttle: every step down and up, as lists."""

import pytest
from mailproxy_server.policy.throttle import Throttle

ALL = Throttle()


def down(start: Throttle, most: int, steps: int) -> list[tuple[int | None, float]]:
    found = []
    for _ in range(steps):
        start = start.slower(most)
        found.append((start.connections, start.gap))
    return found


def up(start: Throttle, most: int, steps: int) -> list[tuple[int | None, float]]:
    found = []
    for _ in range(steps):
        start = start.faster(most)
        found.append((start.connections, start.gap))
    return found


def test_connections_are_halved_and_then_a_gap_is_doubled() -> None:
    assert down(ALL, 10, 11) == [
        (5, 0),
        (2, 0),
        (1, 0),
        (1, 1),
        (1, 2),
        (1, 4),
        (1, 8),
        (1, 16),
        (1, 32),
        (1, 60),
        (1, 60),
    ]


def test_the_way_back_first_removes_the_gap_and_then_adds_a_connection_at_a_time() -> None:
    assert up(Throttle(1, 60), 4, 11) == [
        (1, 30),
        (1, 15),
        (1, 7.5),
        (1, 3.75),
        (1, 1.875),
        (1, 0.9375),
        (1, 0),
        (2, 0),
        (3, 0),
        (None, 0),
        (None, 0),
    ]


@pytest.mark.parametrize(
    ("before", "most", "after"),
    [
        (ALL, 1, Throttle(1, 1.0)),
        (Throttle(8), 3, Throttle(1)),
        (Throttle(8, 0.0), 100, Throttle(4)),
    ],
)
def test_a_step_down_counts_from_what_the_account_has_now(
    before: Throttle, most: int, after: Throttle
) -> None:
    assert before.slower(most) == after


@pytest.mark.parametrize(
    ("before", "most", "after"),
    [(Throttle(1), 1, ALL), (Throttle(1), 2, ALL), (Throttle(8), 3, ALL), (ALL, 5, ALL)],
)
def test_a_step_up_ends_where_the_account_has_all_of_its_connections(
    before: Throttle, most: int, after: Throttle
) -> None:
    assert before.faster(most) == after


@pytest.mark.parametrize(("throttle", "slow"), [(ALL, False), (Throttle(1), True)])
def test_it_is_active_while_it_slows_something(throttle: Throttle, slow: bool) -> None:
    assert throttle.active is slow
