"""`mailproxy watch`: lanes, queue and outcomes as they change, on a real front."""

import asyncio
import contextlib
import os
import pty
import re
import sys

from tests.support.emails import composed
from tests.support.programs import running
from tests.support.relay import ScriptedRelay
from tests.support.relay_script import Seen
from tests.support.served import TOKEN, Front, dispatching

_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def refusing(seen: Seen) -> str | None:
    return "550 5.1.1 no\x1b[2J [/red] such user" if "nobody" in seen.line else None


async def test_a_terminal_shows_what_happens_until_it_is_ended(front: Front) -> None:
    async with ScriptedRelay({"RCPT": refusing}) as relay, dispatching(front):
        await front.first.make_account(relay.port, "shop")
        ours, theirs = pty.openpty()
        async with running(
            sys.executable, "-P", "-m", "mailproxy_server", "watch", "--every", "0.2",
            stdin=theirs, stdout=theirs, stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": "/usr/bin:/bin", "TERM": "xterm", "COLUMNS": "150", "LINES": "50",
                "MAILPROXY_TARGET": front.address, "MAILPROXY_TOKEN": TOKEN,
            },
        ) as process:  # fmt: skip
            os.close(theirs)
            os.set_blocking(ours, False)
            seen = b""

            async def until(words: str) -> None:
                nonlocal seen
                async with asyncio.timeout(30):
                    while words not in _STEERING.sub("", seen.decode(errors="replace")):
                        await asyncio.sleep(0.05)
                        with contextlib.suppress(BlockingIOError):
                            seen += os.read(ours, 1 << 16)

            await until("Recent outcomes")
            await until("shop")
            for recipient in ("ann@b.test", "nobody@b.test"):
                email = composed({"account_id": "shop"}, to=[{"address": recipient}])
                await front.first.submit(email)
            await until("SENT")
            await until("nobody@b.test")
            await until("[/red] such user")
            assert b"\x1b[2J [" not in seen, "a relay's words steer no terminal"
            process.send_signal(2)
            assert await asyncio.wait_for(process.wait(), 20) == 0
            os.close(ours)


async def test_without_a_terminal_the_last_look_is_printed(front: Front) -> None:
    async with running(
        sys.executable, "-P", "-m", "mailproxy_server", "watch", "--frames", "2", "--every", "0.1",
        stdout=asyncio.subprocess.PIPE,
        env={
            "PATH": "/usr/bin:/bin", "COLUMNS": "150",
            "MAILPROXY_TARGET": front.address, "MAILPROXY_TOKEN": TOKEN,
        },
    ) as process:  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert out.decode().count("Lanes") == 1
        assert "NOBODY SENDS" in out.decode()
