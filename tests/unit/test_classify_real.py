"""What relays really say (replies.txt), by stage: each means what a mail administrator expects."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Reply, Stage
from mailproxy_server.policy.classify import Kind, Scope, judge
from mailproxy_server.smtp.replies import ReplyReader

TABLE = Path(__file__).with_name("replies.txt")
AT_LEAST = 200
PROVIDERS = (
    "Amazon SES",
    "Gmail",
    "Microsoft 365",
    "Yahoo",
    "SendGrid",
    "Mailgun",
    "Postfix",
    "Exim",
    "Sendmail",
    "qmail",
    "Mimecast",
)


class Real(NamedTuple):
    """One reply, whose it is, and what it is expected to mean."""

    whose: str
    stage: Stage
    reply: Reply
    meaning: tuple[Kind, Scope, Reason, bool]


def read() -> list[Real]:
    found: list[Real] = []
    meaning = (Kind.ACCEPTED, Scope.US, Reason.NONE, False)
    for line in TABLE.read_text().splitlines():
        if heading := re.fullmatch(r"\[(\w+) (\w+) (\w+)( hard)?\]", line):
            kind, scope, reason, hard = heading.groups()
            meaning = (Kind(kind), Scope(scope), Reason[reason], hard is not None)
        elif line and not line.startswith("#"):
            whose, stage, wire = line.split(" | ", 2)
            (reply,) = ReplyReader().feed(wire.replace("\\n", "\r\n").encode() + b"\r\n")
            assert isinstance(reply, Reply), line
            found.append(Real(whose, Stage(stage), reply, meaning))
    return found


REAL = read()


@pytest.mark.parametrize("real", REAL, ids=lambda r: f"{r.stage} {r.reply.code} {r.whose}")
def test_a_real_reply_means_what_is_expected(real: Real) -> None:
    means = judge(real.stage, real.reply)
    assert (means.kind, means.scope, means.reason, means.hard) == real.meaning, real.reply


def test_there_are_many_of_them_of_all_who_matter_and_none_twice() -> None:
    assert len(REAL) >= AT_LEAST
    assert len({(real.stage, real.reply) for real in REAL}) == len(REAL)
    for provider in PROVIDERS:
        assert sum(provider in real.whose for real in REAL) >= 4, provider
