"""`mailproxy diagnose` as people run it: a process of its own, on a database of the test's."""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

from tests.support.programs import running
from tests.support.replicas import environment_of


@dataclass
class Doctor:
    """Looks at one database; `extra` are further variables of its process."""

    url: str
    extra: dict[str, str]

    async def says(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Give the findings that are no good, by their fault's name."""
        async with running(
            sys.executable, "-P", "-m", "mailproxy_server", "diagnose", "--json", *arguments,
            env={"PATH": "/usr/bin:/bin", "HOME": "/tmp"} | environment_of(self.url) | self.extra,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        ) as process:  # fmt: skip
            out, err = await asyncio.wait_for(process.communicate(), 60)
        found = [json.loads(line) for line in out.decode().splitlines()]
        assert found, err.decode()
        wrong = {one["fault"]: one for one in found if one["fault"]}
        assert process.returncode == any(one["level"] == "fault" for one in wrong.values())
        assert all(one["remedy"] for one in wrong.values())
        return wrong

    async def until(self, fault: str, *arguments: str) -> dict[str, Any]:
        """Look again until it names this fault; give what it says of it."""
        async with asyncio.timeout(40):
            while fault not in (found := await self.says(*arguments)):
                pass
        one: dict[str, Any] = found[fault]
        return one


def doctor(url: str, **extra: str) -> Doctor:
    """Give one."""
    return Doctor(url, {f"MAILPROXY_{name.upper()}": value for name, value in extra.items()})
