"""A real server for the tests of applications that send mail: nobody who uses us needs a mock.

    # conftest.py
    pytest_plugins = ["mailproxy.testing"]

    # test_orders.py
    def test_an_order_is_confirmed(mail_proxy):
        place_order("ann@example.org")                  # uses MailProxyClient.from_env()
        mail_proxy.assert_sent(to="ann@example.org", subject="Your order")

Comes with the extra `testing` of mailproxy-client. The server is started once for all tests, as
processes, with a database of its own; it sends to an SMTP server in the tests' process that keeps
what it gets, and nothing leaves the machine.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from aiosmtpd.smtp import SMTP

from mailproxy.testing.proxy import MailProxy, SentMail

START_SECONDS = 90.0
"""For the server, with the making of its database."""
ACCOUNT = "tests"


@pytest.fixture(scope="session")
def mail_proxy_server() -> Iterator[MailProxy]:
    """The server of all tests of the session."""
    proxy = MailProxy()
    with tempfile.TemporaryDirectory(prefix="mailproxy-tests-") as name, _inbox(proxy) as port:
        Path(name).chmod(0o711)  # another user may own the database in it
        data_dir = Path(name) / "data"
        with _start(data_dir) as process:
            try:
                proxy.target = _target(process)
                proxy.token = (data_dir / "token").read_text().strip()
                with proxy.client() as client:
                    client.create_account(ACCOUNT, host="127.0.0.1", port=port, tls="none")
                yield proxy
            finally:
                process.terminate()


@pytest.fixture
def mail_proxy(
    mail_proxy_server: MailProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MailProxy]:
    """The server, with nothing sent yet; its address and token are in the environment."""
    monkeypatch.setenv("MAILPROXY_TARGET", mail_proxy_server.target)
    monkeypatch.setenv("MAILPROXY_TOKEN", mail_proxy_server.token)
    mail_proxy_server.clear()
    yield mail_proxy_server
    mail_proxy_server.settle()


@contextmanager
def _inbox(proxy: MailProxy) -> Iterator[int]:
    """Take mail for `proxy` in a thread; gives the port."""
    loop = asyncio.new_event_loop()

    async def listen() -> asyncio.Server:
        return await loop.create_server(
            lambda: SMTP(proxy, enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
        )

    server = loop.run_until_complete(listen())
    thread = Thread(target=loop.run_forever, name="inbox", daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _start(data_dir: Path) -> "subprocess.Popen[str]":
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAILPROXY_")
    }
    environment |= {
        "MAILPROXY_DATA_DIR": str(data_dir),
        "MAILPROXY_GRPC_LISTEN": "127.0.0.1:0",
        "MAILPROXY_HTTP_LISTEN": "off",
        "MAILPROXY_DRAIN_SECONDS": "1",
        "MAILPROXY_LOG_LEVEL": "error",
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "mailproxy_server", "serve"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def _target(process: "subprocess.Popen[str]") -> str:
    """Wait for the ready line; give the address in it."""
    assert process.stdout is not None
    until = time.monotonic() + START_SECONDS
    for line in process.stdout:
        if "is ready" in line:
            return line.split("grpc=")[1].split()[0]
        if time.monotonic() > until:
            break
    raise RuntimeError("the server did not start; its log is above")


__all__ = ["MailProxy", "SentMail", "mail_proxy", "mail_proxy_server"]
