"""What a process does not need is not in its memory; garbage is looked for when all is imported."""

import os
import subprocess
import sys

import pytest

ROLE = """
import gc
from mailproxy_server.app import roles

async def run(*_):
    print(gc.isenabled())

gc.disable()
roles.MODULES["front"] = "__main__"
roles.run_role("front", 0, -1, -1)
"""
COMMAND = """
import gc
import mailproxy_server.__main__
from mailproxy_server.cli import root

root.app = lambda: print(gc.isenabled())
mailproxy_server.__main__.main()
"""


def said(program: str) -> str:
    environment = os.environ | {"MAILPROXY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("roles", "unwanted"),
    [
        (("dispatch",), {"grpc", "aiohttp.web", "alembic"}),
        (("front", "dispatch"), {"opentelemetry"}),  # while tracing is off
    ],
)
def test_a_role_loads_nothing_that_it_does_not_need(
    roles: tuple[str, ...], unwanted: set[str]
) -> None:
    imported = ", ".join(f"mailproxy_server.app.{name}" for name in ("roles", *roles))
    program = f"import sys, {imported}; print(*(set({sorted(unwanted)}) & set(sys.modules)))"
    assert said(program) == ""


@pytest.mark.parametrize("program", [ROLE, COMMAND], ids=["role", "command"])
def test_garbage_is_looked_for_once_all_is_imported(program: str) -> None:
    assert said(program) == "True"
