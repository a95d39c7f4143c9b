"""Writes a transaction down: its commands, what cannot be sent at all, and the stuffed content.

Pure. RFC 5321 section 4.1.1, 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3461 (DSN).
"""

from dataclasses import dataclass

from mailproxy_server.mail.envelope import Envelope
from mailproxy_server.mail.transcript import Fault, FaultKind, Stage
from mailproxy_server.smtp.offer import Offer

_ENVID_LIMIT = 100
"""Characters of an ENVID (RFC 3461 section 4.4)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command; `recipient_no` is set for RCPT."""

    stage: Stage
    command: str
    recipient_no: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """MAIL, RCPT and DATA in order, or no steps at all where nothing may be sent.

    `impossible` holds what stays unsent and why: a MAIL step stands for all recipients, a
    RCPT step for its own. Recipients past the relay's RCPTMAX are in neither.
    """

    steps: tuple[Step, ...]
    impossible: tuple[tuple[Step, Fault], ...] = ()


@dataclass(frozen=True, slots=True)
class Needs:
    """What a message asks of the relay; `size` in octets as RFC 1870 counts them."""

    size: int
    eight_bit: bool
    utf8_headers: bool
    envelope_id: str


def plan(envelope: Envelope, needs: Needs, offer: Offer) -> Plan:
    """Give the steps of one transaction."""
    mail = Step(
        Stage.MAIL, f"MAIL FROM:<{envelope.return_path}>{_mail_options(envelope, needs, offer)}"
    )
    fault = _obstacle(envelope, needs, offer)
    if fault is not None:
        return Plan((), ((mail, fault),))
    asked: list[Step] = []
    impossible: list[tuple[Step, Fault]] = []
    for number, recipient in enumerate(envelope.recipients):
        step = Step(Stage.RCPT, f"RCPT TO:<{recipient}>{_rcpt_options(recipient, offer)}", number)
        if offer.smtputf8 or recipient.isascii():
            asked.append(step)
        else:
            impossible.append((step, _needs_smtputf8("the recipient's address")))
    if offer.max_recipients:
        del asked[offer.max_recipients :]
    if not asked:
        return Plan((), tuple(impossible))
    return Plan((mail, *asked, Step(Stage.DATA, "DATA")), tuple(impossible))


def stuffed(content: bytes) -> tuple[bytes, bytes]:
    """Give the content with its leading dots doubled (section 4.5.2), and the end that closes it.

    A dot after a bare LF is doubled too: some relays take that for a line's end, and must
    not find an end of data there.
    """
    ready = content.replace(b"\n.", b"\n..")
    if ready.startswith(b"."):
        ready = b"." + ready
    return ready, b".\r\n" if not ready or ready.endswith(b"\r\n") else b"\r\n.\r\n"


class Stuffer:
    """Doubles leading dots as `stuffed` does, of a content that comes in blocks."""

    def __init__(self) -> None:
        self._last = b"\n"

    def feed(self, block: bytes) -> bytes:
        """Give a block as it is sent."""
        ready = block.replace(b"\n.", b"\n..")
        if self._last == b"\n" and ready.startswith(b"."):
            ready = b"." + ready
        self._last = block[-1:] or self._last
        return ready


def wire_form(steps: tuple[Step, ...]) -> bytes:
    """Give the octets of these commands; raise ValueError if one would be more than one line."""
    octets = "\r\n".join([step.command for step in steps]).encode() + b"\r\n"
    if octets.count(b"\n") != len(steps) or octets.count(b"\r") != len(steps) or b"\0" in octets:
        raise ValueError("a control character in an envelope")
    return octets


def _obstacle(envelope: Envelope, needs: Needs, offer: Offer) -> Fault | None:
    if offer.max_size and needs.size > offer.max_size:
        return Fault(
            FaultKind.TOO_LARGE,
            f"the message has {needs.size} octets, the relay takes {offer.max_size}",
        )
    if not offer.smtputf8 and needs.utf8_headers:
        return _needs_smtputf8("a header")
    if not offer.smtputf8 and not envelope.return_path.isascii():
        return _needs_smtputf8("the return path")
    if needs.eight_bit and not offer.eight_bit:
        return Fault(FaultKind.NEEDS_8BITMIME, "the content is 8-bit; 8BITMIME is not offered")
    return None


def _needs_smtputf8(what: str) -> Fault:
    return Fault(FaultKind.NEEDS_SMTPUTF8, f"{what} is not ASCII; SMTPUTF8 is not offered")


def _mail_options(envelope: Envelope, needs: Needs, offer: Offer) -> str:
    options = f" SIZE={needs.size}" if offer.sizes else ""
    if offer.eight_bit and (needs.eight_bit or needs.utf8_headers):
        options += " BODY=8BITMIME"
    if needs.utf8_headers or (offer.smtputf8 and envelope.needs_smtputf8):
        options += " SMTPUTF8"
    if offer.dsn:
        options += " RET=HDRS"
        if needs.envelope_id:
            options += f" ENVID={_xtext(needs.envelope_id[:_ENVID_LIMIT])}"
    return options


def _rcpt_options(recipient: str, offer: Offer) -> str:
    """ORCPT of addresses in ASCII; the form for others (RFC 6533) is not worth its risk."""
    if not offer.dsn or not recipient.isascii():
        return ""
    return f" ORCPT=rfc822;{_xtext(recipient)}"


def _xtext(text: str) -> str:
    """RFC 3461 section 4."""
    return "".join(
        char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in text
    )
