"""`mailproxy relay-outbox` as a process: it moves, ends when told to, and says why it cannot."""

import asyncio
import os
import sys
from contextlib import AbstractAsyncContextManager

import pytest

from tests.support.postgres import Cluster
from tests.support.programs import running
from tests.support.served import TOKEN, Front
from tests.support.shops_database import Shop, put_in


def command(
    front: Front, *arguments: str
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Give `mailproxy relay-outbox` as a process, for the length of a block."""
    return running(
        sys.executable, "-m", "mailproxy_server", "relay-outbox", *arguments,
        env=os.environ | {"MAILPROXY_TARGET": front.address, "MAILPROXY_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_the_command_moves_what_there_is_and_ends(front: Front, shop: Shop) -> None:
    url, link = shop
    await put_in(link, 5)
    async with command(front, "--from", url, "--once", "--batch", "2") as process:
        out, err = await process.communicate()
    assert (process.returncode, out.decode().split("\n"), err) == (
        0,
        ["moved 2", "moved 2", "moved 1", ""],
        b"",
    )


async def test_the_command_ends_cleanly_on_sigterm(front: Front, shop: Shop) -> None:
    url, link = shop
    async with command(front, "--from", url) as process:
        await put_in(link, 1)
        assert process.stdout
        assert await process.stdout.readline() == b"moved 1\n"
        process.terminate()
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"stopped after moving 1\n", b"")


@pytest.mark.parametrize(
    ("source", "words", "code"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", "does not answer", 3),
        ("nonsense", "cannot be used", 1),
        ("", "mailproxy outbox sql", 1),
    ],
)
async def test_the_command_says_in_a_line_why_it_cannot(
    front: Front, postgres: Cluster, source: str, words: str, code: int
) -> None:
    source = source or postgres.url_of("postgres")
    async with command(front, "--from", source, "--once") as process:
        out, err = await process.communicate()
    assert (process.returncode, out) == (code, b"")
    assert words in err.decode().lower()
    assert err.count(b"\n") == 1
