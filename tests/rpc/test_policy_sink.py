"""A relay that somebody else wrote refuses, or hangs up, at every verb: Debian's smtp-sink."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.rpc.test_policy_dialogue import SENT, dispatching, of_message, told
from tests.support.debian import require
from tests.support.emails import composed
from tests.support.programs import beside
from tests.support.served import Front

pytestmark = pytest.mark.needs_debian("postfix")

# -r answers 450, -f 500, -q hangs up.
CASES = [
    ("", "", SENT),
    ("-r", "mail", "DEFERRED SENDER_REFUSED"),
    ("-f", "mail", "FAILED SENDER_REFUSED"),
    ("-r", "rcpt", "DEFERRED RECIPIENT_REFUSED"),
    ("-f", "rcpt", "FAILED RECIPIENT_REFUSED"),
    ("-r", "data", "DEFERRED CONTENT_REFUSED"),
    ("-f", "data", "FAILED CONTENT_REFUSED"),
    ("-r", ".", "DEFERRED CONTENT_REFUSED"),
    ("-f", ".", "FAILED CONTENT_REFUSED"),
    ("-q", "rcpt", "DEFERRED RELAY_UNREACHABLE"),
    ("-q", "data", "DEFERRED RELAY_UNREACHABLE"),
    ("-q", ".", "DEFERRED OUTCOME_UNKNOWN"),
    ("-r", "connect", "BREAKER_OPENED RELAY_UNREACHABLE"),
    ("-f", "connect", "BREAKER_OPENED RELAY_UNREACHABLE"),
    ("-q", "connect", "BREAKER_OPENED RELAY_UNREACHABLE"),
    ("-r", "ehlo,helo", "BREAKER_OPENED RELAY_UNREACHABLE"),
    ("-f", "ehlo,helo", "BREAKER_OPENED RELAY_UNREACHABLE"),
    ("-q", "ehlo", "BREAKER_OPENED RELAY_UNREACHABLE"),
    ("-q", "mail", "DEFERRED RELAY_UNREACHABLE"),
]


@contextmanager
def sink(*options: str) -> Iterator[int]:
    """Run it on a free port, which is given once it listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = [require("postfix"), *user, *options, f"127.0.0.1:{port}", "128"]
    with beside(*command, stdout=subprocess.DEVNULL):
        yield port


async def listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


@pytest.mark.parametrize(("how", "verbs", "event"), CASES)
async def test_each_refusal_of_a_foreign_relay_has_its_report(
    front: Front, how: str, verbs: str, event: str
) -> None:
    with sink(*([how, verbs] if how else [])) as port:
        await listening(port)
        async with dispatching(front):
            await front.first.make_account(port, "one", max_connections=1)
            async with front.first.stream() as stream:
                sent = await front.first.submit(composed({"account_id": "one"}))
                if event.startswith("BREAKER"):
                    (report,) = await stream.until(1)
                    assert told(report) == event
                    found = await front.first.get(sent.message_id)
                    assert found.recipients[0].attempts == 0, "the account is to blame"
                else:
                    assert await of_message(stream, sent.message_id, 1) == [event]
