"""`mailproxy demo kill`: messages go through a server whose processes are killed meanwhile.

Starts a server and an inbox of its own, in a folder that is removed afterwards, so that it
can be run anywhere. The judges are the inbox, which knows what arrived, and the client's list
of what was acknowledged; never the server's own database.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path

from mailproxy import AsyncMailProxyClient, MailProxyError

from mailproxy_server.demo.inbox import Inbox, Received
from mailproxy_server.demo.processes import descendants, kill, role

_PATIENCE = 120.0


@dataclass(slots=True)
class Tally:
    """What came of it."""

    acknowledged: set[str] = field(default_factory=set)
    arrived: Counter[str] = field(default_factory=Counter)
    offsets: list[int] = field(default_factory=list)
    final: set[str] = field(default_factory=set)
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """Messages that were acknowledged and never arrived."""
        return len(self.acknowledged - self.arrived.keys())

    @property
    def gaps(self) -> int:
        """Offsets that are missing in the report log."""
        return max(self.offsets, default=0) - len(set(self.offsets))

    @property
    def duplicates(self) -> int:
        """Copies beyond the first."""
        return sum(count - 1 for count in self.arrived.values())


async def run(count: int, rounds: int) -> Tally:
    """Send `count` messages through a server that is hit `rounds` times; give the tally."""
    tally = Tally()
    inbox = Inbox("127.0.0.1", 0, on_message=lambda one: tally.arrived.update([_name(one)]))
    await inbox.start()
    folder = Path(tempfile.mkdtemp(prefix="mailproxy-demo-"))
    try:
        async with _server(folder) as (process, target):
            token = (folder / "token").read_text().strip()
            async with AsyncMailProxyClient(target, token, timeout=_PATIENCE) as client:
                await client.create_account("demo", host="127.0.0.1", port=inbox.port, tls="none")
                following = asyncio.create_task(_follow(client, tally, count))
                await asyncio.gather(
                    _submit_all(client, count, tally), _strike(process.pid, count, rounds, tally)
                )
                async with asyncio.timeout(_PATIENCE):
                    await following
    finally:
        await inbox.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return tally


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a server with its data in `folder`; give its process and address."""
    environment = _without_settings() | {
        "MAILPROXY_DATA_DIR": str(folder),
        "MAILPROXY_GRPC_LISTEN": "127.0.0.1:0",
        "MAILPROXY_HTTP_LISTEN": "off",
        "MAILPROXY_LEASE_SECONDS": "3",
        "MAILPROXY_LOG_LEVEL": "error",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mailproxy_server", "serve",
        env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_PATIENCE):
            line = (await process.stdout.readline()).decode()
        yield process, line.partition("grpc=")[2].split()[0]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def _without_settings() -> dict[str, str]:
    """Give the environment without the settings of the server that runs here otherwise."""
    return {k: v for k, v in os.environ.items() if not k.startswith("MAILPROXY_")}


async def _submit_all(client: AsyncMailProxyClient, count: int, tally: Tally) -> None:
    gate = asyncio.Semaphore(20)

    async def one(number: int) -> None:
        async with gate:
            try:
                submission = await client.submit(
                    from_address="shop@demo.test",
                    to=f"u{number}@demo.test",
                    subject=f"message {number}",
                    text="through a storm\n",
                )
            except MailProxyError as error:
                _say(f"message {number} was not acknowledged: {error}")
                return
        tally.acknowledged.add(submission.message_id)

    await asyncio.gather(*map(one, range(count)))


async def _strike(supervisor: int, count: int, rounds: int, tally: Tally) -> None:
    """Kill fronts and dispatchers, and in every third round PostgreSQL as well."""
    for number in range(rounds):
        while len(tally.acknowledged) * (rounds + 1) < count * (number + 1):
            await asyncio.sleep(0.01)
        targets = ["front", "dispatcher"] + ["postgres"] * (number % 3 == 2)
        pids = {pid: role(pid) for pid in descendants(supervisor)}
        victims = [pid for pid, what in pids.items() if what in targets]
        tally.kills.update(pids[pid] for pid in victims)
        kill(victims)
        _say(f"killed -9: {', '.join(targets)}; acknowledged so far: {len(tally.acknowledged)}")


async def _follow(client: AsyncMailProxyClient, tally: Tally, count: int) -> None:
    async for report in client.delivery_reports():
        tally.offsets.append(report.offset)
        if report.final:
            tally.final.add(report.message_id)
        if len(tally.final) >= count:
            return


def _name(received: Received) -> str:
    return str(BytesHeaderParser().parsebytes(received.octets)["X-Mailproxy-Id"])


def _say(line: str) -> None:
    print(line, flush=True)
