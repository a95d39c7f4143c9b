"""What every line of the log passes: addresses masked, repetition limited."""

from collections.abc import Mapping

import pytest
import structlog
from mailproxy_server.telemetry.lines import BURST, DELIVERY, WINDOW_SECONDS, Limited, mask, masked


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("to ann@example.net", "to ***@example.net"),
        ("<ann.b+tag@example.net>: no", "<***@example.net>: no"),
        ("RCPT TO:<grüße@bücher.test> 550", "RCPT TO:<***@bücher.test> 550"),
        ("ann@[192.0.2.1]", "***@[192.0.2.1]"),
        ("a@b.test,c@d.test", "***@b.test,***@d.test"),
        ("user@", "user@"),
        ("no address", "no address"),
        ("@example.net", "@example.net"),
    ],
)
def test_addresses_are_masked_and_their_domains_stay(text: str, left: str) -> None:
    assert mask(text) == left


def test_all_that_a_line_says_is_masked() -> None:
    event = {"event": "a@b.test", "exception": "E: a@b.test", "many": ["a@b.test", 1], "n": 1}
    assert "a@" not in str(masked(None, "info", event))


def passed(limited: Limited, event: Mapping[str, object]) -> dict[str, object] | None:
    try:
        return dict(limited(None, "info", dict(event)))
    except structlog.DropEvent:
        return None


def test_what_repeats_is_dropped_and_counted() -> None:
    now = 0.0
    limited = Limited(lambda: now)
    lines = [passed(limited, {"event": "again"}) for _ in range(BURST + 7)]
    assert [line is not None for line in lines] == [True] * BURST + [False] * 7
    assert passed(limited, {"event": "another"}) == {"event": "another"}
    now = WINDOW_SECONDS
    assert passed(limited, {"event": "again"}) == {"event": "again", "suppressed": 7}
    assert passed(limited, {"event": "again"}) == {"event": "again"}


def test_lines_about_deliveries_are_never_dropped() -> None:
    limited = Limited(lambda: 0.0)
    line = {"event": "sent", "kind": DELIVERY}
    assert all(passed(limited, line) for _ in range(10 * BURST))


def test_few_names_are_remembered() -> None:
    limited = Limited(lambda: 0.0)
    for number in range(5_000):
        assert passed(limited, {"event": f"event {number}"})
    assert len(limited._windows) <= 1001
