"""Owns a Postfix of its own beside the proxy: the same relaying job, to the same sink.

Everything of it is below one folder: configuration, queue (on the same disk, synced by Postfix as
always), data, and the log, which is what Postfix has for a delivery report. It takes mail on
loopback over 20 sessions, relays to the sink over at most 20 connections, and is otherwise as
installed. Needs root, as Postfix does.
"""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.bench.processes import LOOPBACK, BenchError, free_port, wait_for_port
from tests.bench.sink import PATH, find
from tests.bench.usage import tree

DAEMONS = Path("/usr/lib/postfix/sbin")
CONNECTIONS = 20
MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
relayhost = [{loopback}]:{sink}
default_destination_concurrency_limit = {connections}
"""
LOG = """maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
"""
# service, type, private, unprivileged, chroot, wakeup, processes, command
MASTER = """\
{loopback}:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def missing() -> str | None:
    """Say why Postfix cannot be measured here, in one line; None when it can."""
    if not (find("postfix") and find("smtp-source")):
        return "Postfix is not installed (apt-get install postfix)"
    if os.geteuid() != 0:
        return "Postfix runs as root only"
    return None


class Postfix:
    """A running Postfix, relaying to the sink on port `sink`.

    `log`: it writes its log, which says what became of each message; else it tells nobody.
    """

    def __init__(self, folder: Path, sink: int, *, log: bool = True):
        self._log = log
        self._folder = folder
        self._sink = sink
        self.port = free_port()

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o755, parents=True)
        for name in ("conf", "queue", "data"):
            (self._folder / name).mkdir(mode=0o755)
        subprocess.run(["chown", "postfix", str(self._folder / "data")], check=True)
        words = {
            "folder": self._folder,
            "daemons": DAEMONS,
            "loopback": LOOPBACK,
            "port": self.port,
            "sink": self._sink,
            "connections": CONNECTIONS,
        }
        main = MAIN + LOG if self._log else MAIN
        (self._folder / "conf/main.cf").write_text(main.format(**words))
        (self._folder / "conf/master.cf").write_text(MASTER.format(**words))
        self._tell("start")
        wait_for_port(self.port, 20)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._tell("stop")

    def processes(self) -> dict[str, list[psutil.Process]]:
        """The master and all that it started."""
        pid = int((self._folder / "queue/pid/master.pid").read_text())
        return {"Postfix": tree(pid)}

    def feed(self, count: int, size: int, *, keep: bool) -> None:
        """Hand over `count` messages of `size` octets by smtp-source.

        `keep`: over sessions that stay open; else with a session for each message, as
        smtp-source and most senders do.
        """
        sessions = ["-s", str(CONNECTIONS), "-m", str(count), "-l", str(size)]
        mail = ["-f", "bench@sender.test", "-t", "user@inbox.test", f"{LOOPBACK}:{self.port}"]
        command = [find("smtp-source") or "", *(["-d"] if keep else []), *sessions, *mail]
        subprocess.run(command, check=True)

    def _tell(self, what: str) -> None:
        done = subprocess.run(
            [find("postfix") or "postfix", "-c", str(self._folder / "conf"), what],
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": PATH},
        )
        if done.returncode:
            raise BenchError(f"postfix {what} failed: {done.stderr.strip() or done.stdout.strip()}")
