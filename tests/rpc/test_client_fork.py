import contextlib
import os
import signal
import subprocess
import sys

from tests.support.fake_server import FakeServer

PROGRAM = """
import os, sys, threading
from mailproxy import MailProxyClient

PLAIN = dict(from_address="a@x.test", to="b@y.test", text="Hello")
client = MailProxyClient(sys.argv[1], retry=sys.argv[2] != "0")
busy = [threading.Thread(target=lambda: [client.submit(**PLAIN) for _ in range(200)])
        for _ in range(int(sys.argv[2]))]
client.submit(**PLAIN, request_id="before")
for thread in busy:
    thread.start()
children = []
for number in range(4):
    child = os.fork()
    if not child:
        try:
            client.submit(**PLAIN, request_id=f"child-{number}")
            assert not client.queue_status().accounts
            with client.delivery_reports(follow=False) as reports:
                list(reports)
            os._exit(0)
        finally:
            os._exit(1)
    children.append(child)
ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
for thread in busy:
    thread.join()
client.submit(**PLAIN, request_id="after")
assert ended == [0] * 4, ended
"""


def succeeds(program: str, *arguments: str) -> None:
    """Run a program; whatever it forked ends with it, also what hangs."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            _, errors = process.communicate(timeout=45)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, errors


def run(server: FakeServer, threads: int) -> None:
    succeeds(PROGRAM, server.target, str(threads))
    children = {f"child-{number}" for number in range(4)}
    assert {"before", "after", *children} <= set(server.request_ids)


def test_children_made_by_fork_submit_and_read_on_a_channel_of_their_own() -> None:
    with FakeServer() as server:
        run(server, threads=0)


def test_a_fork_among_submitting_threads_hurts_neither_side() -> None:
    with FakeServer() as server:
        run(server, threads=4)
        assert len(server.messages) == 4 * 200 + 6


STREAMING = """
import os, sys, threading, time
from mailproxy import MailProxyClient

client = MailProxyClient(sys.argv[1])
reports, seen = client.delivery_reports(), []
reader = threading.Thread(target=lambda: seen.extend(each.offset for each in reports))
reader.start()
deadline = time.monotonic() + 20
while len(seen) < 10 and time.monotonic() < deadline:
    time.sleep(0.01)
for number in range(4):
    child = os.fork()
    if not child:
        try:
            found = [each.offset for each in client.delivery_reports(follow=False)]
            os._exit(found != list(range(1, 11)))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
client.submit(from_address="a@x.test", to="b@y.test", text="Hello", request_id="after")
while len(seen) < 11 and time.monotonic() < deadline:
    time.sleep(0.01)
reports.close()
reader.join()
assert seen == list(range(1, 12)), seen
"""


def test_a_stream_that_another_thread_reads_goes_on_after_a_fork() -> None:
    with FakeServer() as server:
        server.report("m", 10)
        server.refuse = lambda method, request: server.report("m") if method == "submit" else None
        succeeds(STREAMING, server.target)
