"""What a test sees of the server: what it has sent, and words to assert it."""

import time
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from threading import Condition

from aiosmtpd.smtp import SMTP, Envelope, Session

from mailproxy.aio import AsyncMailProxyClient
from mailproxy.sync import MailProxyClient

SENT_SECONDS = 10.0
"""How long a message that is asserted may take to arrive."""


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


def _fits(
    one: SentMail, to: str | None, subject: str | None, sender: str | None, text: str | None
) -> bool:
    return (
        (to is None or to in one.recipients)
        and (subject is None or subject in one.subject)
        and (sender is None or sender == one.mail_from)
        and (text is None or text in one.text)
    )
