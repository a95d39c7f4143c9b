"""The rules that are asked first: the connection, and what concerns the account as a whole.

Pure data; `rules` has the others. Nothing here condemns a message but a recipient's own limits,
which are told apart first, since relays use the same words for them.
"""

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Stage
from mailproxy_server.policy.judgement import ENVELOPE, MESSAGE, NOT_RCPT, SETUP, Rule, Scope

_ACCOUNT = Scope.ACCOUNT
_GMAIL = "Google Workspace, Gmail SMTP errors and codes"
_MICROSOFT = "Microsoft, NDR and SMTP errors in Exchange Online"
_SUBMISSION = "Microsoft, throttling for SMTP authenticated submission"

CONNECTION = (
    Rule(
        _ACCOUNT,
        Reason.RELAY_TLS,
        "RFC 3207, section 4.1",
        "without the TLS that was asked for nothing is said",
        stages=frozenset({Stage.STARTTLS}),
    ),
    Rule(
        _ACCOUNT,
        Reason.RELAY_AUTH,
        "RFC 4954, section 6",
        "the credentials are refused for good",
        stages=frozenset({Stage.AUTH}),
        codes=("5",),
        hard=True,
    ),
)

OF_THE_RECIPIENT = (
    Rule(
        Scope.RECIPIENT,
        Reason.RECIPIENT_REFUSED,
        f"{_GMAIL}; {_MICROSOFT}",
        "the recipient's mailbox is full or busy; not ours, though it is said alike",
        stages=ENVELOPE | MESSAGE,
        words=(
            "you are trying to contact is receiving",
            "user is receiving mail too quickly",
            "account that you tried to reach",
            "the recipient has exceeded",
            "the recipient's inbox",
            "recipient thread limit",
            "STOREDRV.Deliver",
        ),
    ),
)

QUOTA = (
    Rule(
        _ACCOUNT,
        Reason.QUOTA_EXHAUSTED,
        f"Amazon SES, errors related to sending quotas; {_GMAIL}; {_SUBMISSION}; "
        "SendGrid, SMTP errors; cPanel; Zoho Mail; GMX",
        "what the account may send in a day or an hour is used up",
        words=(
            "daily * quota exceeded",
            "daily * limit exceeded",
            "hourly * limit exceeded",
            "reached * daily limit",
            "exceeded * daily limit",
            "sending quota exceeded",
            "exceeded * sending quota",
            "sending limit exceeded",
            "exceeded * sending limit",
            "send limit exceeded",
            "exceeded your * quota",
            "email quota exceeded",
            "submission quota",
            "SubmissionQuotaExceeded",
            "credits exceeded",
            "max emails per hour",
            "max defers and failures per hour",
            "unusual sending activity",
        ),
    ),
    Rule(
        _ACCOUNT,
        Reason.QUOTA_EXHAUSTED,
        f"{_SUBMISSION}; {_MICROSOFT}; Amazon SES, sending paused; Mailgun, disabled domains",
        "the provider has stopped the account, or the mailbox of sent items is full",
        words=(
            "sending * paused",
            "sending * suspended",
            "your account * suspended",
            "your account * disabled",
            "domain * is not allowed to send:",
            "bad outbound sender",
            "tenant has exceeded",
            "sender throttled due to continuous",
            "OutboundSpamException",
            "STOREDRV.Submission.Exception:QuotaExceeded",
        ),
    ),
    Rule(
        _ACCOUNT,
        Reason.QUOTA_EXHAUSTED,
        "Amazon SES; Mailgun; Postmark",
        "stopped or full as well; at RCPT it may be the recipient's account",
        stages=NOT_RCPT | SETUP,
        words=(
            "mailbox full",
            "mailbox is full",
            "quota exceeded",
            "over quota",
            "account * paused",
            "account * suspended",
            "account * disabled",
            "account * deactivated",
            "domain * disabled",
        ),
    ),
    Rule(
        _ACCOUNT,
        Reason.QUOTA_EXHAUSTED,
        _GMAIL,
        "daily limit; elsewhere congestion (RFC 3463), which is no failure either",
        codes=("5",),
        enhanced=("5.4.5",),
    ),
    Rule(
        _ACCOUNT,
        Reason.QUOTA_EXHAUSTED,
        f"{_MICROSOFT}; Microsoft, continuous error throttling",
        "daily limits of mailbox and tenant, and accounts blocked for spam",
        codes=("5",),
        enhanced=(
            "5.1.90",
            "5.2.251",
            "5.2.253",
            "5.2.254",
            "5.2.255",
            "5.7.232",
            "5.7.233",
            "5.7.501",
            "5.7.502",
            "5.7.503",
            "5.7.705",
            "5.7.750",
        ),
    ),
    Rule(
        _ACCOUNT,
        Reason.QUOTA_EXHAUSTED,
        f"RFC 3463, section 3.3; {_SUBMISSION}",
        "a mailbox is full where no recipient is spoken of: that of the sent items",
        stages=NOT_RCPT,
        codes=("5",),
        enhanced=("5.2.2",),
    ),
)

PACE = (
    Rule(
        _ACCOUNT,
        Reason.THROTTLED,
        f"Amazon SES, errors related to sending quotas; {_GMAIL}; {_SUBMISSION}; Yahoo, SMTP error "
        "codes; Postfix, anvil; Exim; Sendmail; Mimecast; Mailtrap",
        "too fast, or over too many connections",
        codes=("4", "5"),
        words=(
            "throttl",
            "sending rate",
            "rate limit",
            "relay limit exceeded",
            "too fast",
            "too frequent",
            "too many messages",
            "too many emails",
            "too many connections",
            "too many concurrent",
            "too many open connections",
            "too much mail",
            "concurrent connection",
            "maximum number of concurrent",
            "sender thread limit",
            "outbound thread limit",
            "received this hour",
            "unusual rate",
            "unexpected volume",
            "server busy",
        ),
    ),
)

TROUBLE = (
    Rule(
        _ACCOUNT,
        Reason.RELAY_UNREACHABLE,
        f"{_GMAIL}; {_MICROSOFT}",
        "the relay's own trouble, though the code would say policy",
        stages=ENVELOPE | MESSAGE | {Stage.CONNECT, Stage.EHLO},
        codes=("4",),
        words=("temporary system problem", "temporary server error"),
    ),
    Rule(
        _ACCOUNT,
        Reason.THROTTLED,
        f"RFC 3463, section 3.8; {_GMAIL}",
        "closes the connection out of policy: less, please",
        codes=("421",),
        enhanced=("4.7",),
    ),
    Rule(
        _ACCOUNT,
        Reason.RELAY_UNREACHABLE,
        "RFC 5321, sections 3.8 and 4.2.1",
        "closes the connection",
        codes=("421",),
    ),
    Rule(
        _ACCOUNT,
        Reason.RELAY_AUTH,
        "RFC 4954, section 6",
        "cannot check the credentials just now",
        stages=frozenset({Stage.AUTH}),
    ),
    Rule(
        _ACCOUNT,
        Reason.RELAY_UNREACHABLE,
        "RFC 5321, sections 3.1 and 4.3.2",
        "does not serve us",
        stages=SETUP,
    ),
)

FIRST = (*CONNECTION, *OF_THE_RECIPIENT, *QUOTA, *PACE, *TROUBLE)
