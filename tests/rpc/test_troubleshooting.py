"""The SQL of docs/troubleshooting.md, run as it stands, on a queue in which something happened."""

import re
from pathlib import Path

import pytest
from mailproxy_server.cli.root import app
from typer.main import get_command

from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.relay_script import Seen
from tests.support.served import Front, dispatching

PAGE = (Path(__file__).parents[2] / "docs/troubleshooting.md").read_text()
STATEMENTS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = sorted(set(re.findall(r"`(mailproxy [a-z-]+(?: [a-z-]+)?)", PAGE)))
ROWS = [0, 1, 1, 1]
"""Of each statement, in the order of the page: nothing waits too long."""


def refusing(seen: Seen) -> str | None:
    return "550 5.1.1 no" if "nobody" in seen.line else None


async def test_each_statement_says_what_it_is_for(front: Front) -> None:
    async with ScriptedRelay({"RCPT": refusing}) as relay, dispatching(front):
        await front.first.make_account(relay.port, "shop")
        for recipient in ("ann@example.net", "nobody@b.test"):
            email = composed({"account_id": "shop"}, to=[{"address": recipient}])
            sent = await front.first.submit(email)
            await front.first.watch(message_id=sent.message_id)
        found = [len(await front.link.fetch(statement)) for statement in STATEMENTS]
    assert found == ROWS


async def test_what_waits_too_long_is_found(front: Front) -> None:
    await front.first.submit()
    await front.link.execute("UPDATE mailproxy.deliveries SET due_at = now() - interval '1 hour'")
    assert len(await front.link.fetch(STATEMENTS[0])) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_named_exists(command: str) -> None:
    _, *words = command.split()
    group = get_command(app)
    for word in words[:2]:
        commands = getattr(group, "commands", {})
        if not commands:
            break
        assert word in commands, command
        group = commands[word]
