"""What composing and signing cost beside Python's email.mime: CPU time in one process, interleaved.

python -m tests.bench compose
"""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email import policy
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, make_msgid
from uuid import UUID

from mailproxy_server.content.codec import admit, restore
from mailproxy_server.content.compose import compose
from mailproxy_server.content.dkim import BodyHash, Signature, signatures
from mailproxy_server.content.dkim_keys import read_key

from tests.bench.tables import say, show_table
from tests.bench.targets import COMPOSING, Target
from tests.support.dkim_verifier import ED25519, RSA
from tests.support.emails import composed

TEXT = ("It is on its way, and will be with you on Tuesday. " * 20)[:1000]
HTML = "<html><body><p>" + ("It is on its way, and will be <b>with you</b>. " * 25)[:1000] + "</p>"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ROUNDS, TIMES = 15, 200

Work = Callable[[], object]


def theirs() -> bytes:
    """The same message by email.mime, with the policy that is its quickest."""
    message = MIMEMultipart("alternative")
    message["Date"] = format_datetime(NOW)
    message["Message-ID"] = make_msgid(domain="example.com")
    message["From"] = "shop@example.com"
    message["To"] = "ann@example.net"
    message["Subject"] = "Your order"
    message.attach(MIMEText(TEXT, "plain", "utf-8" if not TEXT.isascii() else "us-ascii"))
    message.attach(MIMEText(HTML, "html", "utf-8" if not HTML.isascii() else "us-ascii"))
    return message.as_bytes(policy=policy.compat32.clone(linesep="\r\n"))


def measure() -> dict[str, object]:
    """Compare, print a table, and give the figures."""
    stored = admit(composed(text_body=TEXT, html_body=HTML), now=NOW, fingerprint=False).content
    message_id = str(UUID(int=7))

    def ours() -> bytes:
        return compose(restore(stored), message_id=message_id, date=NOW).octets

    works: dict[str, Work] = {"email.mime": theirs, "ours": ours}
    for name, keys in (("RSA 2048", [RSA]), ("Ed25519", [ED25519]), ("both", [RSA, ED25519])):
        works[f"signed, {name}"] = _signing(ours, keys)
    micros = _interleaved(works)
    whole = micros["email.mime"]
    ratios = {name: value / whole for name, value in micros.items()}
    rows = [(name, f"{micros[name]:.0f} µs", f"{ratios[name]:.2f}") for name in works]
    show_table("2 KB of text and HTML", ("by", "CPU", "of email.mime's"), rows)
    target = Target("composing, of email.mime's", ratios["ours"], COMPOSING, at_most=True)
    said = "met" if target.met else "SHORT"
    say(f"composing: {target.value:.2f} of email.mime's, at most {COMPOSING} wanted: {said}")
    return {"micros": micros, "ratios": ratios, "targets": [target.facts()]}


def _signing(ours: Callable[[], bytes], pems: list[str]) -> Work:
    keys = [Signature("example.com", f"s{n}", read_key(pem)) for n, pem in enumerate(pems)]

    def signed() -> bytes:
        octets = ours()
        head, _, body = octets.partition(b"\r\n\r\n")
        digest = BodyHash()
        digest.feed(body)
        made = signatures(head + b"\r\n", digest.digest(), keys, unsigned=(), instant=0)
        return made + octets

    return signed


def _interleaved(works: dict[str, Work]) -> dict[str, float]:
    """Give the median of CPU microseconds of each, measured in turns."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            began = time.process_time()
            for _ in range(TIMES):
                work()
            found[name].append((time.process_time() - began) / TIMES * 1e6)
    return {name: statistics.median(times) for name, times in found.items()}
