"""One role of a server as a process of its own, without a supervisor: it starts sooner."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mailproxy_server.app.lifeline import LIFE


class Bare:
    """A dispatcher or front, until it is killed or stopped. Its stderr goes to a file."""

    def __init__(self, role: str, environment: Mapping[str, str], log: Path) -> None:
        self._reading, writing = os.pipe()
        everything = {"PATH": os.defpath, "HOME": str(log.parent), **environment}
        everything["MAILPROXY_HTTP_LISTEN"] = "off"
        with log.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mailproxy_server", role, "0", "-1", str(writing)],
                stdin=subprocess.DEVNULL, stderr=err, env=everything, pass_fds=(writing,), cwd="/",
            )  # fmt: skip
        os.close(writing)

    def ready(self) -> None:
        """Wait until it serves."""
        with os.fdopen(self._reading, "rb") as pipe:
            said = pipe.readline()
        assert said.strip(LIFE) == b"\n", said

    def kill(self) -> None:
        """kill -9."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Have it drain."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0
