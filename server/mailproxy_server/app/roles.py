"""Owns what a child process runs: one role, front or dispatcher, tied to its supervisor.

Each role is a module of its own with `async def run(settings, lifeline, database_url)`, which
calls `lifeline.ready()` once it serves and returns once it has drained. It is imported only in
the process that runs it.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import structlog

from mailproxy_server.app.database import upgrade
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.settings import SettingsError, load
from mailproxy_server.telemetry import sharing
from mailproxy_server.telemetry.logs import configure_logging

MODULES = {
    "front": "mailproxy_server.app.front",
    "dispatcher": "mailproxy_server.app.dispatch",
    "demo": "mailproxy_server.demo.show",
}


def run_role(role: str, number: int, supervisor: int, report: int) -> int:
    """Run the role until it has drained; gives the exit code.

    A refusal goes to the supervisor, which says it once for the whole run. Garbage is looked for
    from the moment when the role's imports are done.
    """
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(role, number, supervisor, report))
    except (Refusal, SettingsError) as refusal:
        with contextlib.suppress(OSError):
            os.write(report, f"{refusal}\n".encode())
        return 1
    except Exception:
        structlog.get_logger().exception("this process failed")
        return 1
    return 0


def run_upgrade() -> int:
    """Bring the database's schema up to date for a run; a refusal is the last line on stderr."""
    try:
        settings = load()
        configure_logging(settings, process="upgrade")
        assert settings.database_url is not None
        asyncio.run(upgrade(settings, settings.database_url.get_secret_value()))
    except (Refusal, SettingsError) as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    return 0


async def _run(role: str, number: int, supervisor: int, report: int) -> None:
    settings = load()
    configure_logging(settings, process=f"{role}-{number}")
    sharing.join(f"{role}-{number}")
    lifeline = Lifeline(number, supervisor, report, settings.drain_seconds)
    lifeline.attach()
    module = importlib.import_module(MODULES[role])
    gc.collect()
    gc.freeze()  # what was imported stays: no collection need look at it again
    gc.enable()
    assert settings.database_url is not None
    await module.run(settings, lifeline, settings.database_url.get_secret_value())


def _loop_factory() -> Callable[[], Any] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
