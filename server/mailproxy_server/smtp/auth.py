"""Says AUTH (RFC 4954) to a relay: by password with the strongest of aiosmtplib's mechanisms that
the relay offers, or by XOAUTH2 with an access token.

Credentials are said once: another mechanism is tried only where the relay does not have the one
that it offered (504), another token only where the refused one (535) had been good before. What a
relay repeats of them in its replies is taken out.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace

import aiosmtplib
from aiosmtplib.auth import auth_login_encode, auth_plain_encode, auth_xoauth2_encode

from mailproxy_server.mail.transcript import Fault, FaultKind, Reply
from mailproxy_server.smtp.faults import EXPECTED, answer_of
from mailproxy_server.smtp.oauth import TokenSource
from mailproxy_server.smtp.relay import Relay
from mailproxy_server.smtp.replies import make_reply

STRONGEST_FIRST = ("cram-md5", "plain", "login")
"""CRAM-MD5 never shows the password; LOGIN is PLAIN in two steps, and obsolete."""

Said = tuple[str, Reply | Fault]
"""A command without its credentials, and the answer."""

_RUN = re.compile(r"[A-Za-z0-9+/=._~\-]{8,}")


async def authenticate(
    client: aiosmtplib.SMTP, relay: Relay, tokens: TokenSource | None
) -> AsyncIterator[Said]:
    """Give what was said, as it is said; the last answer decides, and it is positive only when
    the relay took the credentials."""
    ways = _by_password(client, relay) if tokens is None else _by_token(client, relay, tokens)
    async for said in ways:
        yield said


async def _by_password(client: aiosmtplib.SMTP, relay: Relay) -> AsyncIterator[Said]:
    say: dict[str, Callable[[str, str], Awaitable[aiosmtplib.SMTPResponse]]] = {
        "cram-md5": client.auth_crammd5,
        "plain": client.auth_plain,
        "login": client.auth_login,
    }
    user, password = relay.username, relay.password
    secrets = (auth_plain_encode(user, password), *auth_login_encode(user, password)[1:])
    offered = [name for name in STRONGEST_FIRST if name in client.server_auth_methods]
    if not offered:
        yield "AUTH", _not_offered(client, "CRAM-MD5, PLAIN or LOGIN")
    for name in offered:
        answer = await _answer(say[name](user, password), (password.encode(), *secrets))
        yield f"AUTH {name.upper()}", answer
        if not (isinstance(answer, Reply) and answer.code == 504):
            return


async def _by_token(
    client: aiosmtplib.SMTP, relay: Relay, tokens: TokenSource
) -> AsyncIterator[Said]:
    command = "AUTH XOAUTH2"
    if "xoauth2" not in client.server_auth_methods:
        yield command, _not_offered(client, "XOAUTH2")
        return
    for _ in range(2):
        token = await tokens.token()
        if isinstance(token, Fault):
            yield command, token
            return
        secrets = (token.text.encode(), auth_xoauth2_encode(relay.username, token.text))
        answer = await _answer(client.auth_xoauth2(relay.username, token.text), secrets)
        yield command, answer
        if not (isinstance(answer, Reply) and answer.code == 535):
            return
        tokens.drop(token)
        if token.fresh:
            return


async def _answer(
    saying: Awaitable[aiosmtplib.SMTPResponse], secrets: Iterable[bytes]
) -> Reply | Fault:
    try:
        response = await saying
    except EXPECTED as error:
        answer = answer_of(error)
    else:
        return make_reply(response.code, response.message)
    if isinstance(answer, Fault):
        return answer
    if answer.positive:  # anything but 235, as a challenge where none was due
        return Fault(FaultKind.PROTOCOL, f"{answer.code} does not end an AUTH")
    return replace(answer, text=_without(answer.text, [each.decode() for each in secrets]))


def _without(text: str, secrets: Iterable[str]) -> str:
    """Give a relay's words without what it repeats of secrets, be it a part of them."""
    known = [secret for secret in secrets if len(secret) >= 4]

    def hidden(found: re.Match[str]) -> str:
        run = found[0]
        return "***" if any(run in secret or secret in run for secret in known) else run

    for secret in known:
        text = text.replace(secret, "***")
    return _RUN.sub(hidden, text)


def _not_offered(client: aiosmtplib.SMTP, needed: str) -> Fault:
    words = " ".join(client.server_auth_methods).upper() or "none"
    return Fault(FaultKind.AUTH, f"AUTH {needed} is needed; offered: {words}")
