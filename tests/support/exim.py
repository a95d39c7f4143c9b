"""An Exim of its own as a relay: Debian's package, unpacked, since it conflicts with Postfix.

Below one folder, as the user that Debian's Exim runs as; takes mail on loopback and hands it on to
one port there. Ends with its block.
"""

import contextlib
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.processes import free_port, wait_for_port
from tests.support.debian import require

USER = "Debian-exim"
CONFIGURATION = """\
exim_path = {program}
primary_hostname = exim.test
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/exim.pid
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
keep_environment =
tls_advertise_hosts =
smtputf8_advertise_hosts = *
acl_smtp_rcpt = take
acl_smtp_data = take
queue_run_max = 1
begin acl
take:
  accept
begin routers
all:
  driver = manualroute
  domains = *
  route_list = * 127.0.0.1
  self = send
  transport = on
begin transports
on:
  driver = smtp
  port = {sink}
  allow_localhost
begin retry
* * F,1h,1s
"""


@contextmanager
def exim(folder: Path, sink: int) -> Iterator[int]:
    """Run one that hands on to port `sink`; gives the port that it takes mail on."""
    program, port = require("exim4-daemon-light"), free_port()
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        raise AssertionError(f"useradd --system {USER}: there is no such user") from None
    (folder / "spool").mkdir(parents=True)
    configuration = folder / "exim.conf"
    configuration.write_text(
        CONFIGURATION.format(program=program, folder=folder, port=port, sink=sink)
    )
    for path in (folder, folder / "spool"):
        os.chown(path, user.pw_uid, user.pw_gid)
    running = subprocess.Popen(
        [program, "-C", str(configuration), "-bdf", "-q1s"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        user=user.pw_uid, group=user.pw_gid, extra_groups=[], start_new_session=True,
    )  # fmt: skip
    try:
        wait_for_port(port, 20)
        yield port
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        try:
            running.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
