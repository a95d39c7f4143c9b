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
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from threading import Condition, Thread

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailproxy.aio import AsyncMailProxyClient
from mailproxy.sync import MailProxyClient

START_SECONDS = 90.0
"""For the server, with the making of its database."""
SENT_SECONDS = 10.0
"""How long a message that is asserted may take to arrive."""
ACCOUNT = "tests"


@dataclass(frozen=True, slots=True)
class SentMail:
    """A message that was sent: its envelope, and what a mail program reads of it."""

    mail_from: str
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        """The Subject."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """The text/plain body, or ""."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The text/html body, or ""."""
        return self._body("html")

    @property
    def attachments(self) -> dict[str, bytes]:
        """The attached files by name."""
        return {
            str(part.get_filename()): bytes(part.get_payload(decode=True) or b"")
            for part in self.message.iter_attachments()
        }

    def __str__(self) -> str:
        return f"{self.subject!r} from <{self.mail_from}> to {', '.join(self.recipients)}"

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return "" if part is None else str(part.get_content()).replace("\r\n", "\n")


class MailProxy:
    """A running server, and what it has sent since the test began.

    `target` and `token` are what a client is made with; MAILPROXY_TARGET and MAILPROXY_TOKEN are
    set to them, so that `from_env()` finds it.
    """

    def __init__(self, target: str = "", token: str = "") -> None:
        self.target = target
        self.token = token
        self._sent: list[SentMail] = []
        self._changed = Condition()

    @property
    def sent(self) -> list[SentMail]:
        """All messages that were sent, in the order of their arrival."""
        with self._changed:
            return list(self._sent)

    def client(self) -> MailProxyClient:
        """Give a client for threads."""
        return MailProxyClient(self.target, self.token)

    def async_client(self) -> AsyncMailProxyClient:
        """Give a client for asyncio."""
        return AsyncMailProxyClient(self.target, self.token)

    def assert_sent(
        self,
        *,
        to: str | None = None,
        subject: str | None = None,
        sender: str | None = None,
        text: str | None = None,
        count: int = 1,
        timeout: float = SENT_SECONDS,
    ) -> SentMail:
        """Wait until `count` messages have arrived that match; give the first, or fail saying what
        arrived. `to` is a recipient, `sender` the return path; `subject` and `text` are part of
        theirs. Fails also when there are more."""

        def matching() -> list[SentMail]:
            return [one for one in self._sent if _fits(one, to, subject, sender, text)]

        with self._changed:
            self._changed.wait_for(lambda: len(matching()) >= count, timeout)
            found, arrived = matching(), list(self._sent)
        if len(found) == count:
            return found[0]
        given = {"to": to, "subject": subject, "sender": sender, "text": text}
        wanted = ", ".join(
            f"{name}={value!r}" for name, value in given.items() if value is not None
        )
        listed = "".join(f"\n  {one}" for one in arrived) or " nothing"
        raise AssertionError(
            f"{len(found)} of {count} messages with {wanted or 'anything'}; arrived:{listed}"
        )

    def assert_nothing_sent(self, *, timeout: float = SENT_SECONDS) -> None:
        """Wait until nothing is queued any more; fail if anything was sent."""
        self.settle(timeout=timeout)
        if listed := "".join(f"\n  {one}" for one in self.sent):
            raise AssertionError(f"nothing was to be sent; arrived:{listed}")

    def settle(self, *, timeout: float = SENT_SECONDS) -> None:
        """Wait until nothing is due or being sent."""
        until = time.monotonic() + timeout
        with self.client() as client:
            while any(each.due or each.sending for each in client.queue_status().accounts):
                if time.monotonic() > until:
                    raise AssertionError(f"there is still mail to be sent after {timeout:g} s")
                time.sleep(0.02)

    def clear(self) -> None:
        """Forget what was sent."""
        with self._changed:
            self._sent.clear()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep a message (aiosmtpd asks for this)."""
        octets = envelope.original_content or b""
        message = message_from_bytes(octets, policy=policy.default)
        assert isinstance(message, EmailMessage)
        recipients = tuple(str(each) for each in envelope.rcpt_tos)
        with self._changed:
            self._sent.append(SentMail(str(envelope.mail_from or ""), recipients, message))
            self._changed.notify_all()
        return "250 2.0.0 kept"


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


def _fits(
    one: SentMail, to: str | None, subject: str | None, sender: str | None, text: str | None
) -> bool:
    return (
        (to is None or to in one.recipients)
        and (subject is None or subject in one.subject)
        and (sender is None or sender == one.mail_from)
        and (text is None or text in one.text)
    )


__all__ = ["MailProxy", "SentMail", "mail_proxy", "mail_proxy_server"]
