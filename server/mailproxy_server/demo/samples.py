"""The three messages that `serve --demo` sends. Pure: instants are arguments."""

import base64
from datetime import datetime, timedelta

from mailproxy import Attachment
from mailproxy.message import Message

_DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxV"
    "SF+FABJADveWkH6oAAAAAElFTkSuQmCC"
)
_ORDERS = b"order,total\n17,42.00\n18,7.50\n"
AHEAD = timedelta(seconds=3)
"""How far ahead the scheduled one is."""


def samples(now: datetime) -> list[tuple[str, Message]]:
    """Give each message with a word on what it shows."""
    plain: Message = {
        "from_address": "Shop <shop@demo.test>",
        "to": "ann@demo.test",
        "subject": "Your order 17",
        "text": "Thank you. It leaves today.\n",
        "labels": {"kind": "order"},
    }
    html: Message = {
        "from_address": "Shop <shop@demo.test>",
        "to": ["ben@demo.test", "550@demo.test"],
        "subject": "With a picture, and one recipient whom the relay refuses",
        "text": "A picture is in the HTML part.\n",
        "html": '<p>A dot: <img src="cid:dot" alt="a dot"></p>',
        "attachments": [Attachment("dot.png", _DOT, content_id="dot", inline=True)],
    }
    scheduled: Message = {
        "from_address": "Büro <shop@demo.test>",
        "to": "Zoë Müller <zoe@bücher.demo.test>",
        "subject": "Grüße aus Köln ✉ 你好",
        "text": "Die Bestellungen von heute – im Anhang.\n",
        "attachments": [Attachment("Bestellungen März.csv", _ORDERS)],
        "send_time": now + AHEAD,
    }
    seconds = int(AHEAD.total_seconds())
    return [
        ("plain text", plain),
        ("HTML with an inline image, two recipients, one of them refused", html),
        (f"non-ASCII, with an attachment, to be sent in {seconds} s", scheduled),
    ]
