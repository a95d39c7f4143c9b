"""Clients that are not ours, run as programs: each call is a process, its words are judged."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.programs import running
from tests.support.relay import ScriptedRelay
from tests.support.serving import REAL, Run

PROGRAMS = Path(sys.executable).parent
SECONDS = 60.0
_CAPITAL = re.compile("(?<=[a-z])[A-Z]")


@dataclass(frozen=True)
class Place:
    """A running `mailproxy serve`: where it is, its token, and a relay to send by."""

    address: str
    token: str
    relay: ScriptedRelay
    folder: Path
    """Empty, for what a program wants to keep."""

    @property
    def authorization(self) -> str:
        return f"authorization: Bearer {self.token}"


@asynccontextmanager
async def served(data_dir: Path) -> AsyncIterator[Place]:
    """Run the server, and a relay that refuses 550@, for the length of the block."""
    script = {"RCPT": lambda seen: "550 5.1.1 nobody here" if "550@" in seen.line else None}
    async with ScriptedRelay(script) as relay:
        run = await asyncio.to_thread(lambda: Run(data_dir, program=REAL).ready())
        folder = data_dir.with_name("folder")
        folder.mkdir(exist_ok=True)
        try:
            yield Place(run.grpc, (data_dir / "token").read_text().strip(), relay, folder)
        finally:
            assert await asyncio.to_thread(run.stop) == 0


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as JSON; of a program that failed there is none."""
        assert self.code == 0, self.err
        return snake(json.loads(self.out))


def snake(value: Any) -> Any:
    """Give JSON with the contract's own names, which some programs write in camel case."""
    if isinstance(value, dict):
        return {_CAPITAL.sub(r"_\g<0>", key).lower(): snake(one) for key, one in value.items()}
    return [snake(one) for one in value] if isinstance(value, list) else value


async def call(folder: Path, *command: str | Path, **environment: str) -> Done:
    """Run a program to its end in `folder`, which is its home too unless the environment says."""
    async with _begun(folder, command, environment) as process, asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def first_objects(folder: Path, count: int, *command: str | Path) -> list[Any]:
    """Run a program that streams JSON objects, and end it when so many have come."""
    found: list[Any] = []
    text = ""
    async with _begun(folder, command, {}) as process, asyncio.timeout(SECONDS):
        assert process.stdout is not None
        while len(found) < count:
            piece = await process.stdout.read(65536)
            assert piece, f"it ended after {found}"
            text += piece.decode()
            more, text = _objects(text)
            found += map(snake, more)
    return found


def _objects(text: str) -> tuple[list[Any], str]:
    """Give the whole objects that a text begins with, and the rest."""
    found = []
    while text := text.lstrip():
        try:
            one, end = json.JSONDecoder().raw_decode(text)
        except ValueError:
            break
        found.append(one)
        text = text[end:]
    return found, text


def _begun(
    folder: Path, command: tuple[str | Path, ...], environment: Mapping[str, str]
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    around = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
    return running(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
        cwd=folder, env={**around, **environment},
    )  # fmt: skip
