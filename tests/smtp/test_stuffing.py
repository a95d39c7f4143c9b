"""Dot-stuffing (RFC 5321 section 4.5.2): what is unstuffed is what was given."""

from itertools import product

import pytest
from mailproxy_server.mail.envelope import Envelope
from mailproxy_server.smtp.commands import Needs, plan, stuffed, wire_form
from mailproxy_server.smtp.offer import Offer

from tests.smtp.speaking import pool_at, send
from tests.support.relay import ScriptedRelay

PIECES = [b"\r\n", b".", b"x"]
EVERY = [b"".join(pieces) for n in range(6) for pieces in product(PIECES, repeat=n)]
RAW = [
    b"".join(pieces) for n in range(6) for pieces in product([b"\r", b"\n", b".", b"x"], repeat=n)
]


def ended(content: bytes) -> bytes:
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


def received(stream: bytes) -> tuple[bytes, bytes]:
    """Read content as a relay does; give it, and what follows its end."""
    lines: list[bytes] = []
    while True:
        line, end, stream = stream.partition(b"\r\n")
        assert end, "the end of data is missing"
        if line == b".":
            return b"".join(lines), stream
        lines.append((line[1:] if line.startswith(b".") else line) + end)


def test_every_content_arrives_with_its_last_line_ended() -> None:
    for content in EVERY:
        ready, end = stuffed(content)
        assert received(ready + end) == (ended(content), b""), content


def test_not_even_bare_line_ends_make_an_end_of_data_inside_the_content() -> None:
    for content in RAW:
        ready, end = stuffed(content)
        assert received(ready + end)[1] == b"", content
        loose = (b"\n" + ready + end).replace(b"\r\n", b"\n")
        assert loose.index(b"\n.\n") == len(loose) - 3, content


async def test_they_all_arrive_over_one_connection() -> None:
    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        for content in EVERY[:120]:
            await send(pool, content=content)
    assert [message.octets for message in relay.messages] == [ended(c) for c in EVERY[:120]]
    assert relay.opened == 1


@pytest.mark.parametrize("evil", ["a@b.test>\r\nRCPT TO:<c@d.test", "a@b.test\n", "a\0@b.test"])
def test_no_address_makes_a_second_command(evil: str) -> None:
    steps = plan(Envelope("", (evil,)), Needs(10, False, False, ""), Offer()).steps
    with pytest.raises(ValueError, match="control character"):
        wire_form(steps)


def test_an_envelope_id_is_one_word() -> None:
    offer = Offer(dsn=True)
    mail = plan(Envelope("", ("a@b.test",)), Needs(1, False, False, "a b+é\r\n=" * 30), offer)
    assert mail.steps[0].command.startswith("MAIL FROM:<> RET=HDRS ENVID=a+20b+2B+E9+0D+0A+3D")
    assert len(mail.steps[0].command.split()) == 4
