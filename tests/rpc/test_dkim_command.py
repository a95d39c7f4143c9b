"""`mailproxy dkim`: keys are made or read, published, and taken away."""

import asyncio
import json
from pathlib import Path

from mailproxy_server.cli.root import app
from typer.testing import CliRunner

from tests.support.dkim_verifier import RSA
from tests.support.served import TOKEN, Front


async def test_the_command_adds_shows_and_removes_keys(front: Front, tmp_path: Path) -> None:
    environment = {"MAILPROXY_TARGET": front.address, "MAILPROXY_TOKEN": TOKEN, "COLUMNS": "200"}

    async def run(*arguments: str) -> str:
        done = await asyncio.to_thread(
            CliRunner().invoke, app, ("dkim", *arguments), env=environment
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "It has none" in await run("show", "demo")
    file = tmp_path / "key.pem"
    file.write_text(RSA)
    shown = await run("add", "demo", "--domain", "example.com", "--key-file", str(file))
    assert shown.startswith('mailproxy._domainkey.example.com. IN TXT ( "v=DKIM1; k=rsa; p=')
    assert max(len(part) for part in shown.split('"')) <= 255
    await run("add", "demo", "--domain", "example.com", "--selector", "ed", "--ed25519")
    both = json.loads(await run("show", "demo", "--json"))["dkim_keys"]
    assert [one["algorithm"] for one in both] == [
        "DKIM_ALGORITHM_RSA_SHA256",
        "DKIM_ALGORITHM_ED25519_SHA256",
    ]
    await run("remove", "demo", "--domain", "example.com")
    assert (await run("show")).startswith('ed._domainkey.example.com. IN TXT ( "v=DKIM1; k=ed2')
