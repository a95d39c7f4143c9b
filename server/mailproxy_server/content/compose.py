"""Composes the octets of a message (RFC 5322, MIME): the same for the same arguments.

7-bit throughout, but for address headers where a local part is not ASCII (RFC 6532). Bcc is
in no header. Raw messages are completed by `content.raw`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mailproxy.v1 import message_pb2

from mailproxy_server.content import raw
from mailproxy_server.content.attachments import is_external
from mailproxy_server.content.headers import HeaderBlock, Mailbox
from mailproxy_server.content.parts import File, file_block, tree
from mailproxy_server.content.segments import FileRef, Segment
from mailproxy_server.mail.address import domain_of

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Composed:
    """A message ready for DATA: CRLF line ends, not dot-stuffed, without the final dot.

    `segments` in their order make it up; the last one ends with a line end. `eight_bit`: the body
    needs 8BITMIME (RFC 6152). `utf8_headers`: the headers need SMTPUTF8 (RFC 6531).
    """

    segments: tuple[Segment, ...]
    eight_bit: bool
    utf8_headers: bool

    @property
    def octets(self) -> bytes:
        """The whole, of a message that has no file elsewhere."""
        (octets,) = self.segments
        assert isinstance(octets, bytes), "who has files elsewhere reads them"
        return octets


def compose(
    email: message_pb2.Email, *, message_id: str, date: datetime, files: Sequence[FileRef] = ()
) -> Composed:
    """Give a stored email as it is sent; `files` are its external attachments, in order.

    Raises only for faults of our own.
    """
    if email.WhichOneof("content") == "raw_mime":
        octets, eight_bit = raw.complete(email.raw_mime, message_id, format_date(date))
        return Composed((octets,), eight_bit, utf8_headers=False)
    content = email.composed
    sender = content.from_address.address
    block = HeaderBlock()
    block.pieces("Date", [f" {format_date(date)}"])
    block.pieces("Message-ID", [f" <{message_id}@{domain_of(sender)}>"])
    block.pieces("X-Mailproxy-Id", [f" {message_id}"])
    block.extend(caller_block(content))
    elsewhere = iter(files)
    attached = [
        _file(a, next(elsewhere) if is_external(a) else a.content) for a in content.attachments
    ]
    part = tree(content.text_body, content.html_body, attached, message_id)
    block.pieces("MIME-Version", [" 1.0"])
    block.extend(part.block)
    head = block.checked()
    segments = _joined([head.encode(), b"\r\n", *part.segments])
    return Composed(segments, eight_bit=False, utf8_headers=not head.isascii())


def verify_headers(content: message_pb2.ComposedContent) -> None:
    """Check at submission what `compose` will check again; raises `verify.HeaderMismatch`.

    Addresses must be in normal form already.
    """
    caller_block(content).checked()
    for attachment in content.attachments:
        file_block(_file(attachment, b""), attachment.media_type or "a/b").checked()


def caller_block(content: message_pb2.ComposedContent) -> HeaderBlock:
    """Give the fields that a caller's words stand in."""
    block = HeaderBlock()
    block.mailboxes("From", [_mailbox(content.from_address)])
    to, cc = [_mailbox(m) for m in content.to], [_mailbox(m) for m in content.cc]
    if to:
        block.mailboxes("To", to)
    elif not cc:
        block.pieces("To", [" undisclosed-recipients:;"])
    if cc:
        block.mailboxes("Cc", cc)
    if content.reply_to:
        block.mailboxes("Reply-To", [_mailbox(m) for m in content.reply_to])
    if content.subject:
        block.text("Subject", content.subject)
    for header in content.headers:
        block.text(header.name, header.value)
    return block


def format_date(date: datetime) -> str:
    """Give an aware time as RFC 5322 section 3.3 writes it, in UTC."""
    utc = date.astimezone(UTC)
    return (
        f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04} "
        f"{utc.hour:02}:{utc.minute:02}:{utc.second:02} +0000"
    )


def _mailbox(mailbox: message_pb2.Mailbox) -> Mailbox:
    return mailbox.address, mailbox.display_name


def _file(attachment: message_pb2.Attachment, content: Segment) -> File:
    return File(
        attachment.filename,
        attachment.media_type,
        attachment.content_id,
        attachment.inline,
        content,
    )


def _joined(pieces: Sequence[Segment]) -> tuple[Segment, ...]:
    """Join what stands between files, and end the whole with a line end."""
    if all(isinstance(piece, bytes) for piece in pieces):
        octets = b"".join(pieces)  # type: ignore[arg-type]
        return (octets if octets.endswith(b"\r\n") else octets + b"\r\n",)
    joined: list[Segment] = []
    between: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, FileRef):
            joined += [b"".join(between), piece]
            between = []
        else:
            between.append(piece)
    last = b"".join(between)
    return (*joined, last if last.endswith(b"\r\n") else last + b"\r\n")
