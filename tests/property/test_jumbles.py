"""Fifty thousand emails composed of hostile Unicode: each is read exactly as it was meant, or was
refused before; two thousand of them over the wire, with no command that was not meant.

Addresses beyond ASCII are in test_content_round_trip.
"""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mailproxy_server.content.text import flaw
from mailproxy_server.mail.errors import InvalidFields

from tests.property.test_content_round_trip import TEXT
from tests.smtp.speaking import pool_at, send
from tests.support.emails import sent
from tests.support.jumble import Jumble, assert_read_as_meant, jumble
from tests.support.relay import ScriptedRelay
from tests.support.telling import tell

DRAWS = 500
A_POOL = 50
"""Emails that are composed of the same texts."""
FIT = TEXT.filter(lambda text: flaw(text) is None)
TEXTS = st.tuples(st.lists(FIT, min_size=8, max_size=16), st.lists(TEXT, min_size=1, max_size=4))
many = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Pools:
    """Composes pools of emails, and counts."""

    def __init__(self) -> None:
        self.composed = self.refused = 0

    def of(self, texts: tuple[list[str], list[str]], seed: int) -> list[tuple[bytes, Jumble]]:
        """Compose until a pool is full; what is refused was not queued."""
        chance = Random(seed)
        found: list[tuple[bytes, Jumble]] = []
        while len(found) < A_POOL:
            meant = jumble(*texts, chance)
            try:
                found.append((sent(meant.email).octets, meant))
            except InvalidFields:
                self.refused += 1
        self.composed += len(found)
        return found


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", [1, 2])
def test_whatever_is_admitted_is_read_as_it_was_meant(part: int) -> None:
    pools = Pools()

    @settings(many, max_examples=DRAWS)
    @given(TEXTS, st.integers(0, 2**32))
    def whatever(texts: tuple[list[str], list[str]], seed: int) -> None:
        for octets, meant in pools.of(texts, seed):
            assert octets.isascii()
            assert_read_as_meant(octets, meant)

    whatever()
    tell(f"part {part}: {pools.composed} composed, {pools.refused} refused")
    assert pools.composed >= DRAWS * A_POOL


@pytest.mark.timeout(120)
async def test_two_thousand_over_the_wire() -> None:
    pools, wanted = Pools(), list[tuple[bytes, Jumble]]()

    @settings(many, max_examples=40)
    @given(TEXTS, st.integers(0, 2**32))
    def gather(texts: tuple[list[str], list[str]], seed: int) -> None:
        wanted.extend(pools.of(texts, seed))

    gather()
    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        for octets, _ in wanted:
            await send(pool, content=octets)
    assert len(wanted) >= 2_000
    assert relay.verbs() == ["EHLO", *["MAIL", "RCPT", "DATA"] * len(wanted), "QUIT"]
    for received, (octets, meant) in zip(relay.messages, wanted, strict=True):
        assert received.octets == octets
        assert_read_as_meant(received.octets, meant)
