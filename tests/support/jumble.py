"""Emails put together at random from texts made to hurt, and what must be read of them."""

from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.headerregistry import AddressHeader, HeaderRegistry
from email.message import EmailMessage
from email.utils import getaddresses
from functools import lru_cache
from random import Random
from typing import Any

from mailproxy.v1 import message_pb2

from tests.support.emails import composed

FIRST = ["Date", "Message-ID", "X-Mailproxy-Id", "From"]
_LISTS = {"From": "from_address", "To": "to", "Cc": "cc", "Reply-To": "reply_to"}
PLAIN = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]
_READING = policy.default.clone(header_factory=lru_cache(maxsize=256)(HeaderRegistry()))
"""Python's parser reads a header anew whenever it is asked for, a Content-Type eleven times."""


@dataclass
class Jumble:
    """One email: the fields of its content."""

    content: dict[str, Any] = field(default_factory=dict)

    @property
    def email(self) -> message_pb2.Email:
        return composed(**self.content)

    def header_names(self) -> list[str]:
        """Give the names of the header fields that it must have, and no others."""
        named = [name for name, key in (("Cc", "cc"), ("Reply-To", "reply_to"))
                 if self.content[key]]  # fmt: skip
        subject = ["Subject"] if self.content["subject"] else []
        own = [header["name"] for header in self.content["headers"]]
        whole = PLAIN[:2] if self.content["attachments"] else PLAIN
        return [*FIRST, "To", *named, *subject, *own, *whole]


def jumble(fit: list[str], unfit: list[str], chance: Random) -> Jumble:
    """Put an email together, mostly of texts that are fit for a header."""

    def text() -> str:
        return chance.choice(fit if chance.random() < 0.995 else unfit)

    def boxes(name: str, most: int) -> list[dict[str, str]]:
        return [
            {"address": f"{name}{number}@b.test", "display_name": text()}
            for number in range(chance.randint(0, most))
        ]

    return Jumble(
        {
            "from_address": {"address": "shop@example.com", "display_name": text()},
            "to": boxes("to", 2) or [{"address": "to@b.test", "display_name": text()}],
            "cc": boxes("cc", 1),
            "bcc": [{"address": "eve@hidden.test", "display_name": "Eve Hidden"}],
            "reply_to": boxes("reply", 1),
            "subject": text(),
            "text_body": text() or "text",
            "headers": [
                {"name": f"X-Own-{number}", "value": text()}
                for number in range(chance.randint(0, 2))
            ],
            "attachments": [
                {
                    "filename": text() or "file",
                    "content": b"octets",
                    "media_type": "application/pdf",
                }
                for _ in range(chance.randint(0, 1))
            ],
        }
    )


def assert_read_as_meant(octets: bytes, meant: Jumble) -> None:
    """Fail unless Python's parser finds exactly what was meant."""
    content = meant.content
    message = message_from_bytes(octets, policy=_READING)
    assert isinstance(message, EmailMessage)
    assert message.keys() == meant.header_names()
    assert (message["Subject"] or "") == content["subject"]
    for header in content["headers"]:
        assert message[header["name"]] == header["value"]
    for name, key in (
        ("From", "from_address"),
        ("To", "to"),
        ("Cc", "cc"),
        ("Reply-To", "reply_to"),
    ):
        wanted = content[key] if isinstance(content[key], list) else [content[key]]
        if wanted:
            _assert_boxes(message, name, wanted)
    assert b"hidden" not in octets.lower()
    for part, file in zip(message.iter_attachments(), content["attachments"], strict=True):
        assert isinstance(part, EmailMessage)
        assert part.keys() == ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding"]
        assert spaced(part["Content-Disposition"].params["filename"]) == spaced(file["filename"])
        assert part.get_payload(decode=True) == b"octets"


def _assert_boxes(message: EmailMessage, name: str, wanted: list[dict[str, str]]) -> None:
    header = message[name]
    assert isinstance(header, AddressHeader)
    assert [one.addr_spec for one in header.addresses] == [box["address"] for box in wanted]
    (value,) = (v for k, v in message.raw_items() if k == name)
    shown = [str(make_header(decode_header(n))) for n, _ in getaddresses([str(value)])]
    assert [spaced(n) for n in shown] == [spaced(box.get("display_name", "")) for box in wanted]


def spaced(text: str) -> str:
    """CPython shortens white space, of any alphabet, next to encoded-words and in quotes."""
    return " ".join(text.split())
