"""Finds the id that a relay gave a message in the words of its 250."""

import re

from mailproxy_server.mail.transcript import Reply

_LIMIT = 200
_ID = r"([A-Za-z0-9][A-Za-z0-9._+/=-]*)"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE | re.MULTILINE)
    for form in (
        rf"\bqueued as <?{_ID}",  # Postfix, SendGrid
        rf"\bid={_ID}",  # Exim
        r"\bInternalId=(\d+)",  # Exchange
        rf"\bOK\s+\d+ {_ID} - gsmtp",  # Gmail
        rf"^{_ID} Message accepted for delivery",  # Sendmail
        rf"\bqueued \({_ID}\)",  # Haraka
        r"\bqp (\d+)",  # qmail
        r"^ok:?\s+([A-Za-z0-9._+/=-]{16,})\s*$",  # SES, SparkPost
    )
)


def relay_message_id(reply: Reply) -> str:
    """Give the relay's own id of a message that it accepted, or "" where it names none."""
    for form in _FORMS:
        match = form.search(reply.text)
        if match:
            return match[1].rstrip(".")[:_LIMIT]
    return ""
