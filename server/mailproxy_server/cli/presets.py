"""What providers say of their SMTP relays, as data: `mailproxy account set ID --preset NAME`.

Each value's comment quotes its source. Where a provider says nothing, the value is ours, and
cautious. A quota that each customer has another one of is not set: the note says how to find it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """A provider's relay. `host` is that of no region; it may hold {region}, an AWS region."""

    title: str
    host: str
    max_connections: int
    max_recipients: int
    max_messages: int
    """Per connection; 0: no limit."""
    limits: tuple[str, ...]
    note: str
    sources: tuple[str, ...]
    username: str = ""
    """Where it is the same for everybody."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Of regions that have a host of their own."""
    dkim_unsigned: tuple[str, ...] = ()
    """Header fields that the relay rewrites, which would break a signature over them."""


PRESETS = {
    "ses": Preset(
        title="Amazon SES",
        host="email-smtp.{region}.amazonaws.com",
        # Nothing is said of connections.
        max_connections=10,
        # The addresses of To, Cc and Bcc together "cannot exceed 50".
        max_recipients=50,
        # "Do not maintain long-lived connections"; 421 "Maximum message count per session
        # reached" was seen after 350.
        max_messages=100,
        # "this number varies based on your specific use case": in the sandbox 1/s and 200/day.
        limits=(),
        note="limits differ by customer and region (aws sesv2 get-account): add --limit 14/s "
        "--limit 50000/day; in the sandbox 1/s and 200/day",
        sources=(
            "https://docs.aws.amazon.com/ses/latest/dg/quotas.html",
            "https://docs.aws.amazon.com/sdkfornet1/latest/apidocs/html/M_Amazon_SimpleEmail_AmazonSimpleEmailService_SendRawEmail.htm",
            "https://aws.amazon.com/blogs/ses/amazon-ses-smtp-recommendations/",
            "https://repost.aws/questions/QUw5qK9rBFSKqXvW5a-nAteg",
            "https://docs.aws.amazon.com/ses/latest/dg/header-fields.html",
        ),
        # "Amazon SES overrides any Message-ID and Date header that you provide".
        dkim_unsigned=("message-id", "date"),
    ),
    "gmail": Preset(
        title="Gmail, Google Workspace",
        host="smtp.gmail.com",
        # Nothing is said of connections, but 421 4.7.0 and 454 4.7.0 are what too many get.
        max_connections=3,
        # "Recipients per message sent via SMTP ... Includes smtp.gmail.com: 100".
        max_recipients=100,
        max_messages=100,
        # Workspace, over a rolling 24 hours; of free accounts and trials 500 messages.
        limits=("2000/day:messages", "10000/day"),
        note="of Workspace users; for free accounts and trials --limit 500/day",
        sources=(
            "https://support.google.com/a/answer/166852",
            "https://smith.edu/tara/googleapps/mail_limits.html",
            "https://developer.nylas.com/docs/cookbook/email/gmail-smtp-settings/",
        ),
    ),
    "m365": Preset(
        title="Microsoft 365",
        host="smtp.office365.com",
        # "Up to three concurrent connections", else 432 4.3.2.
        max_connections=3,
        # The default of a mailbox; its administrator may raise it to 1,000.
        max_recipients=500,
        max_messages=0,
        # "30 messages per minute", "10,000 recipients per day", of each mailbox.
        limits=("30/min:messages", "10000/day"),
        note="of one mailbox; all replicas together get 3 connections, so with N dispatchers "
        "set MAILPROXY_CONNECTION_SHARE to 1/N; login by OAuth",
        sources=(
            "https://learn.microsoft.com/en-us/exchange/troubleshoot/send-emails/smtp-submission-improvements",
            "https://its.sfsu.edu/guides/microsoftoffice365emaillimits",
        ),
    ),
    "sendgrid": Preset(
        title="Twilio SendGrid",
        host="smtp.sendgrid.net",
        # "up to 10k concurrent connections from a single server".
        max_connections=20,
        # "split large jobs into separate transactions of approximately 1,000 recipients".
        max_recipients=1000,
        # "up to 5k messages per SMTP connection".
        max_messages=5000,
        limits=(),
        note="the password is an API key; the plan's quota is per month: no limit is set",
        sources=(
            "https://www.twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api",
            "https://www.twilio.com/docs/sendgrid/for-developers/sending-email/building-an-x-smtpapi-header",
        ),
        username="apikey",
    ),
    "mailgun": Preset(
        title="Mailgun",
        host="smtp.mailgun.org",
        # Nothing is said of connections or of messages on one.
        max_connections=10,
        # Said of batches by its API only; nothing is said of SMTP.
        max_recipients=1000,
        max_messages=0,
        limits=(),
        note="the plan's quota is the customer's own: no limit is set",
        sources=(
            "https://smtptester.org/guides/mailgun-smtp-test/",
            "https://www.rubydoc.info/gems/mailgun-ruby/Mailgun/BatchMessage",
        ),
        hosts={"us": "smtp.mailgun.org", "eu": "smtp.eu.mailgun.org"},
    ),
}
"""By the name that --preset takes."""

_AWS_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}\Z")


def preset_fields(name: str, region: str = "") -> dict[str, Any]:
    """Give a preset as fields of an account; raises ValueError for one that there is not."""
    preset = PRESETS.get(name)
    if preset is None:
        raise ValueError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    fields: dict[str, Any] = {
        "host": _host(name, preset, region),
        "port": 587,
        "tls": "starttls",
        "max_connections": preset.max_connections,
        "max_recipients_per_transaction": preset.max_recipients,
        "max_messages_per_connection": preset.max_messages,
        "limits": list(preset.limits),
        "dkim_unsigned_headers": list(preset.dkim_unsigned),
    }
    return fields | ({"username": preset.username} if preset.username else {})


def _host(name: str, preset: Preset, region: str) -> str:
    if "{region}" in preset.host:
        if not _AWS_REGION.match(region):
            raise ValueError(f"{name} needs --region with an AWS region, as eu-west-1")
        return preset.host.format(region=region)
    if not region:
        return preset.host
    if region not in preset.hosts:
        known = f"one of {', '.join(preset.hosts)}" if preset.hosts else "left out"
        raise ValueError(f"--region is not {region!r} with {name}, but {known}")
    return preset.hosts[region]
