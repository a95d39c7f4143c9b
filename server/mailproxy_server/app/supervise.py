"""Owns a run of `mailproxy serve`: database, migrations, children, and their end in that order.

Starts nothing by itself but through `database` and `child`. SIGTERM, SIGINT or SIGHUP drain
everything; a second one ends the children at once.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import structlog

from mailproxy_server.app import ports, tallies
from mailproxy_server.app.child import Child, Surroundings
from mailproxy_server.app.database import running
from mailproxy_server.app.datadir import DataDir
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.settings import PREFIX, Settings

METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""As `telemetry.sharing` knows it, which would bring its library into this process."""
PROGRAM = (sys.executable, "-P", "-m", "mailproxy_server")

log = structlog.get_logger()


class Supervisor:
    """One run.

    `data` is None when the settings need no data directory; `held` keeps its lock. `program` is
    what a child runs; role and numbers are appended.
    """

    def __init__(
        self,
        settings: Settings,
        data: DataDir | None,
        held: tuple[int, ...],
        program: Sequence[str],
    ):
        self._program = program
        self._settings = settings
        self._data = data
        self._held = held
        self._children: list[Child] = []
        self._stop = asyncio.Event()

    async def run(self) -> bool:
        """Serve until a signal says stop; tells whether all drained. Raises Refusal."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
                asyncio.get_running_loop().add_signal_handler(number, self._told)
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, stop):
            task.cancel()
        try:
            await work
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            raise _first(group.subgroup(Refusal) or group) from None
        return all(child.clean for child in self._children)

    def _told(self) -> None:
        if self._stop.is_set():
            for child in self._children:
                child.kill()
        else:
            log.info("draining")
            self._stop.set()

    async def _work(self) -> None:
        with contextlib.ExitStack() as stack:
            listens = stack.enter_context(self._ports())
            async with running(self._settings, self._data, self._held) as database:
                environment = os.environ | listens
                if (
                    self._settings.database_url_file is None
                ):  # else the file is read by each session
                    environment[f"{PREFIX}DATABASE_URL"] = database.url
                if self._data:
                    environment[f"{PREFIX}DATA_DIR"] = str(self._data.path)
                counting, lock = stack.enter_context(tallies.folder())
                environment[METRICS] = str(counting)
                await _migrate(environment, database.anchors)
                await self._keep_children(environment, (*database.anchors, lock))

    @contextlib.contextmanager
    def _ports(self) -> Iterator[dict[str, str]]:
        """Hold the ports; gives the environment that names the real ones."""
        listens = {}
        with contextlib.ExitStack() as stack:
            names = ["GRPC_LISTEN"] * bool(self._settings.fronts)
            names += ["DEMO_LISTEN"] * self._settings.demo
            names += ["HTTP_LISTEN"] * (self._settings.http_listen is not None)
            for name in names:
                wanted = getattr(self._settings, name.lower())
                held, listen = ports.hold(wanted, PREFIX + name)
                stack.enter_context(held)
                listens[PREFIX + name] = str(listen)
                if not ports.is_loopback(listen):
                    log.warning("other machines can reach this port", listen=str(listen))
            yield listens

    async def _keep_children(self, environment: dict[str, str], anchors: tuple[int, ...]) -> None:
        settings = self._settings
        reading, writing = os.pipe()
        around = Surroundings(
            self._program, environment, reading, anchors,
            settings.drain_seconds, settings.hung_seconds,
        )  # fmt: skip
        roles = ["front"] * settings.fronts + ["dispatcher"] * settings.dispatchers
        roles += ["demo"] * settings.demo
        self._children = [Child(role, number, around) for number, role in enumerate(roles)]
        try:
            async with asyncio.TaskGroup() as group:
                for child in self._children:
                    group.create_task(child.keep())
                for child in self._children:
                    await child.served.wait()
                _announce(environment)
        finally:
            os.close(reading)
            os.close(writing)


async def _migrate(environment: dict[str, str], anchors: tuple[int, ...]) -> None:
    """Bring the schema up in a process of its own: what it imports would stay in ours."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "upgrade",
        env=environment, pass_fds=anchors, process_group=0, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()
        raise Refusal(lines[-1] if lines else "the migration of the database was killed")


def _announce(environment: dict[str, str]) -> None:
    """Say on stdout, for people and scripts, that everything serves, and where."""
    where = [
        f"{name.lower()}={environment[f'{PREFIX}{name}_LISTEN']}"
        for name in ("GRPC", "HTTP", "DEMO")
        if f"{PREFIX}{name}_LISTEN" in environment
    ]
    sys.stdout.write(" ".join(["mailproxy is ready" + ":" * bool(where), *where]) + "\n")
    sys.stdout.flush()


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
