"""Which connection is used, asked, opened or closed: literal tables, no loop."""

from dataclasses import dataclass

from mailproxy_server.smtp.lineup import CHECK_AFTER, Decision, Lineup


@dataclass(eq=False)
class Connection:
    usable: bool = True
    unfinished: bool = False


def rested(*since: tuple[Connection, float], limit: int = 9) -> Lineup[Connection]:
    lineup: Lineup[Connection] = Lineup(limit, idle_ttl=300)
    for _ in since:
        lineup.take(0)
    for connection, at in since:
        lineup.rest(connection, at)
    return lineup


def test_the_first_opens_and_those_past_the_limit_wait() -> None:
    lineup: Lineup[Connection] = Lineup(2, idle_ttl=300)
    assert [lineup.take(0), lineup.take(0)] == [Decision(), Decision()]
    assert lineup.take(0) == Decision(wait=True)
    lineup.leave()
    assert lineup.take(0) == Decision()


def test_the_last_to_rest_goes_first() -> None:
    old, young = Connection(), Connection()
    lineup = rested((old, 10), (young, 20))
    assert [lineup.take(21).use, lineup.take(21).use] == [young, old]


def test_a_long_rest_or_an_unfinished_transaction_asks_first() -> None:
    assert not rested((Connection(), 0)).take(CHECK_AFTER).ask
    assert rested((Connection(), 0)).take(CHECK_AFTER + 1).ask
    assert rested((Connection(unfinished=True), 0)).take(0).ask


def test_those_past_their_time_are_closed_by_whoever_comes() -> None:
    old, young = Connection(), Connection()
    assert rested((old, 0), (young, 299)).take(300) == Decision((old,), young)


def test_fallen_ones_are_passed_over() -> None:
    good, fallen = Connection(), Connection(usable=False)
    lineup = rested((good, 0), (fallen, 1))
    assert lineup.resting == 1
    assert lineup.take(2) == Decision((fallen,), good)
    assert lineup.busy == 1


def test_the_next_expiry_is_that_of_the_longest_rest() -> None:
    lineup = rested((Connection(), 5), (Connection(), 7))
    assert lineup.next_expiry == 305
    assert len(lineup.expired(306)) == 1
    assert lineup.next_expiry == 307
    assert len(lineup.clear()) == 1
    assert lineup.next_expiry is None
