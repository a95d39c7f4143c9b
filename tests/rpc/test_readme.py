"""The Python examples of the READMEs, run as they stand."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mailproxy_server.demo.inbox import Inbox

from tests.support.programs import running
from tests.support.served import TOKEN, dispatching, front_on

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "clients/python/README.md")
EXAMPLES = [
    example
    for page in PAGES
    for example in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    if "from mailproxy import" in example
]


@pytest.fixture
async def environment(database_url: str) -> AsyncIterator[dict[str, str]]:
    inbox = Inbox(port=0)
    await inbox.start()
    async with front_on(database_url) as front, dispatching(front):
        await front.first.make_account(inbox.port)
        yield os.environ | {"MAILPROXY_TARGET": front.address, "MAILPROXY_TOKEN": TOKEN}
    await inbox.stop()


async def run(example: str, environment: dict[str, str]) -> str:
    async with running(
        sys.executable, "-c", example, env=environment, stdout=asyncio.subprocess.PIPE
    ) as process:
        output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


def test_there_are_three_examples() -> None:
    assert len(EXAMPLES) == 3


async def test_the_threaded_one_prints_each_recipients_reply(environment: dict[str, str]) -> None:
    printed = await run(EXAMPLES[0], environment)
    assert re.search(r"^ann@demo\.test 250 Ok: queued as ", printed, re.MULTILINE)
    assert re.search(r"^550@demo\.test 550 no such mailbox here$", printed, re.MULTILINE)


async def test_the_asynchronous_one_queues_its_hundred(environment: dict[str, str]) -> None:
    assert (await run(EXAMPLES[1], environment)).startswith("100 are queued\n")


async def test_the_clients_own_page_has_one_that_ends_sent(environment: dict[str, str]) -> None:
    assert "ann@example.org 250 Ok" in await run(EXAMPLES[2], environment)
