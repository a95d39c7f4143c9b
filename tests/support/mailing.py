"""Submits mail without end, in a process of its own: nothing of gRPC is in the test's, which forks.

    mailing.py TARGET TOKEN RELAY_PORT SENDERS

Each line of its input is a number of seconds: one more mail is submitted within so long, and the
answer is a line, true or false. After the last line it stops, and writes one line of what it saw.
"""

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from grpc import StatusCode
from mailproxy import AsyncMailProxyClient, MailProxyError

PASSING = {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED}


@dataclass
class Load:
    """What was acknowledged, and what else was said."""

    client: AsyncMailProxyClient
    acknowledged: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def send(self, seconds: float) -> bool:
        """Submit one mail, which the client repeats for so long; give whether it was
        acknowledged."""
        number = next(self.numbers)
        try:
            one = await self.client.submit(
                from_address="a@a.test", to=f"u{number}@b.test", text="x", account="shop",
                request_id=f"mail-{number}", timeout=seconds,
            )  # fmt: skip
        except MailProxyError as error:
            if error.code not in PASSING:
                self.wrong.append(f"{error.code} {error.message}")
            return False
        self.acknowledged.append(one.message_id)
        return True

    async def run(self) -> None:
        """Submit until cancelled."""
        while True:
            await self.send(30)


async def main(target: str, token: str, port: str, senders: str) -> None:
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with AsyncMailProxyClient(target, token) as client:
        await client.update_account(
            "shop", allow_missing=True, host="127.0.0.1", port=int(port), tls="none"
        )
        load = Load(client)
        tasks = [asyncio.create_task(load.run()) for _ in range(int(senders))]
        while line := await lines.readline():
            tell(await load.send(float(line)))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    tell({"acknowledged": load.acknowledged, "wrong": load.wrong})


def tell(said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


@dataclass
class Mailing:
    """Such a process, from outside."""

    process: asyncio.subprocess.Process

    async def send(self, seconds: float) -> bool:
        """Have it submit one more mail; give whether that was acknowledged in time."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n".encode())
        return bool(await self._line())

    async def end(self) -> tuple[set[str], list[str]]:
        """Stop it; give the ids that were acknowledged, and the errors that should not be."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        found = await self._line()
        return set(found["acknowledged"]), found["wrong"]

    async def _line(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(await self.process.stdout.readline())


@asynccontextmanager
async def mailing(target: str, token: str, port: int, senders: int) -> AsyncIterator[Mailing]:
    """Run one until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", __file__, target, token, str(port), str(senders),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24,
    )  # fmt: skip
    try:
        yield Mailing(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
