"""The examples of docs/outbox.md, run as they stand."""

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.support.programs import running
from tests.support.served import Front, dispatching

PAGE = (Path(__file__).parents[2] / "docs/outbox.md").read_text()


def examples(language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)


async def test_each_example_puts_in_what_a_dispatcher_takes(front: Front) -> None:
    first, attached, refused = examples("sql")
    (python,) = examples("python")
    await front.link.execute(first)
    await front.link.execute(attached)
    environment = os.environ | {"DATABASE_URL": front.url}
    async with running(sys.executable, "-c", python, env=environment) as process:
        assert await process.wait() == 0
    assert await front.link.fetch(refused) == []
    assert (await front.rows())["outbox"] == 3

    async with dispatching(front):
        async with asyncio.timeout(20):
            while (await front.rows())["outbox"]:
                await asyncio.sleep(0.02)
    assert await front.link.fetch(refused) == []
    assert (await front.rows())["messages"] == 3
    found = await front.link.fetch("SELECT request_id FROM mailproxy.messages ORDER BY 1")
    assert [row[0] for row in found] == ["order-17-confirm", "order-18-confirm", None]
