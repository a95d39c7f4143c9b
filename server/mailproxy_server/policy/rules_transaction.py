"""The rules of the transaction: what MAIL, RCPT, DATA and the final dot are answered.

Pure data, asked after `rules_account`. The last four are for what no other rule knew better.
"""

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Stage
from mailproxy_server.policy.judgement import (
    ENVELOPE,
    MESSAGE,
    NO_CODE,
    NOT_RCPT,
    Kind,
    Rule,
    Scope,
)

_WAITS = Kind.TRANSIENT
_ACCOUNT, _RECIPIENT = Scope.ACCOUNT, Scope.RECIPIENT
_SENDER, _CONTENT = Scope.SENDER, Scope.CONTENT
_MAIL, _RCPT = frozenset({Stage.MAIL}), frozenset({Stage.RCPT})

_OUR_SETTINGS = (
    Rule(
        _ACCOUNT,
        Reason.RELAY_AUTH,
        "Exim and cPanel; Sendmail; Postfix, reject_sender_login_mismatch; SendGrid; Gmail",
        "wants a login first; for this recipient or sender only, maybe, so no operator is called",
        stages=ENVELOPE | {Stage.DATA},
        codes=("50", "55"),
        words=(
            "authentication * required",
            "without authentication",
            "unauthenticated senders not allowed",
            "turn on SMTP authentication",
            "invalid credentials for relay",
            "not logged in",
        ),
    ),
    Rule(
        _SENDER,
        Reason.SENDER_REFUSED,
        "Amazon SES, SMTP response codes",
        "a permission is missing, maybe of every sender: it can be granted",
        codes=("5",),
        words=("is not authorized to perform",),
        kind=_WAITS,
    ),
    Rule(
        _CONTENT,
        Reason.TOO_LARGE,
        "RFC 3463, sections 3.3 and 3.4; RFC 1870, section 6.1",
        "larger than the relay takes",
        stages=NOT_RCPT,
        codes=("5",),
        enhanced=("5.3.4", "5.2.3"),
    ),
    Rule(
        _SENDER,
        Reason.SENDER_REFUSED,
        "RFC 3463, section 3.2; RFC 7505, section 4.2; Microsoft, 5.7.60; Amazon SES; SendGrid; "
        "Postmark; SparkPost; Yahoo; Postfix, smtpd_delay_reject; Exim; Postal",
        "this sender may not send; many say so at RCPT or after the content",
        stages=ENVELOPE | MESSAGE,
        words=(
            "sender address rejected",
            "sender verify",
            "SendAsDenied",
            "not allowed to send as",
            "send as this sender",
            "verified sender identity",
            "address is not verified",
            "address not verified",
            "sender signature",
            "unconfigured sending domain",
            "from/sender name is not valid",
        ),
    ),
    Rule(
        _SENDER,
        Reason.SENDER_REFUSED,
        "RFC 3463, section 3.2; RFC 7505, section 4.2; Microsoft, 5.7.60",
        "the same, by code",
        stages=ENVELOPE | MESSAGE,
        enhanced=("4.1.7", "4.1.8", "5.1.7", "5.1.8", "5.7.27", "5.7.60"),
    ),
)

_OF_THE_ACCOUNT = (
    Rule(
        _ACCOUNT,
        Reason.RELAY_TLS,
        "RFC 3207, section 4",
        "wants STARTTLS first",
        codes=("530",),
        words=("STARTTLS",),
    ),
    Rule(
        _ACCOUNT,
        Reason.RELAY_AUTH,
        "RFC 4954, section 6",
        "wants a login first, or another one",
        codes=("530", "534", "535", "538"),
        hard=True,
    ),
    Rule(
        _ACCOUNT,
        Reason.RELAY_AUTH,
        "RFC 4954, section 6; Microsoft, 5.7.57",
        "the same, by code; after the content Yahoo means something else by it",
        stages=ENVELOPE | {Stage.DATA},
        codes=("5",),
        enhanced=("5.7.8", "5.7.9", "5.7.11", "5.7.57"),
        hard=True,
    ),
    Rule(
        _ACCOUNT,
        Reason.RELAY_UNREACHABLE,
        "Postfix, access restrictions; Microsoft, 5.7.606, 5.7.708; Yahoo; Proofpoint",
        "does not serve this address of ours, whatever is sent from it",
        stages=ENVELOPE | {Stage.DATA},
        words=(
            "client host",
            "helo command rejected",
            "banned sending ip",
            "traffic not accepted from this ip",
            "connections will not be accepted from",
            "will be permanently deferred",
            "part of their network is on our block list",
            "ipcheck.proofpoint.com",
        ),
    ),
    Rule(
        _ACCOUNT,
        Reason.RELAY_UNREACHABLE,
        "RFC 5321, section 4.1.4",
        "out of step: ours or the relay's mistake, not the message's",
        codes=("503",),
    ),
    Rule(
        _ACCOUNT,
        Reason.THROTTLED,
        "RFC 3463, section 3.8; Postfix; Gmail",
        "before any recipient: a policy about who sends, and how much",
        stages=_MAIL,
        codes=("4",),
        enhanced=("4.7",),
    ),
    Rule(
        _ACCOUNT,
        Reason.THROTTLED,
        "RFC 3463, sections 3.4 and 3.5; Microsoft, back pressure; Sendmail",
        "the relay itself is full or busy",
        stages=NOT_RCPT,
        codes=("4",),
        enhanced=("4.3.1", "4.3.2", "4.4.5"),
    ),
    Rule(
        _ACCOUNT,
        Reason.THROTTLED,
        "RFC 5321, section 4.2.2",
        "the same, by code",
        stages=NOT_RCPT,
        codes=("452",),
        enhanced=(NO_CODE,),
    ),
)

_MANY = (
    Rule(
        _RECIPIENT,
        Reason.THROTTLED,
        "Amazon SES; Exim; Sendmail; Gmail",
        "fewer recipients at a time; no failure, and no attempt where others were taken",
        stages=MESSAGE | _RCPT,
        words=(
            "too many recipients",
            "recipient count exceeds",
            "multiple destination domains",
            "in a separate transaction",
        ),
        kind=_WAITS,
    ),
    Rule(
        _RECIPIENT,
        Reason.THROTTLED,
        "RFC 3463, section 3.6; RFC 5321, section 4.5.3.1.10",
        "the same, by code",
        stages=MESSAGE | _RCPT,
        enhanced=("4.5.3", "5.5.3"),
        kind=_WAITS,
    ),
    Rule(
        _RECIPIENT,
        Reason.RECIPIENT_REFUSED,
        "RFC 5321, section 4.2.2",
        "the recipient's mailbox is full",
        stages=_RCPT,
        codes=("552",),
        words=("full", "quota", "storage"),
    ),
    Rule(
        _RECIPIENT,
        Reason.THROTTLED,
        "RFC 5321, section 4.5.3.1.10",
        "how older relays say that there are too many recipients",
        stages=_RCPT,
        codes=("552",),
        enhanced=(NO_CODE,),
        kind=_WAITS,
    ),
)

_THE_REST = (
    Rule(
        _RECIPIENT,
        Reason.RECIPIENT_REFUSED,
        "RFC 5321, section 4.2.1",
        "about this recipient: unknown, full, greylisted, not relayed to",
        stages=_RCPT,
    ),
    Rule(
        _CONTENT,
        Reason.TOO_LARGE,
        "RFC 1870, section 6.1; RFC 5321, section 4.2.2",
        "larger than the relay takes",
        stages=NOT_RCPT,
        codes=("552",),
        enhanced=(NO_CODE,),
    ),
    Rule(
        _SENDER,
        Reason.SENDER_REFUSED,
        "RFC 5321, section 4.2.1",
        "about the return path",
        stages=_MAIL,
    ),
    Rule(
        _CONTENT,
        Reason.CONTENT_REFUSED,
        "RFC 5321, section 4.2.1",
        "about this message",
        stages=MESSAGE,
    ),
)

THEN = (*_OUR_SETTINGS, *_OF_THE_ACCOUNT, *_MANY, *_THE_REST)
