"""AUTH as a relay does it (RFC 4954): PLAIN, LOGIN, CRAM-MD5 and XOAUTH2. Pure but for `ask`."""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Set

CHALLENGE = b"<1896.697170952@relay.test>"

Ask = Callable[[bytes], Awaitable[str]]
"""Sends a challenge (in base64, after 334) and gives the line that comes back."""


def mechanisms(credentials: tuple[str, str] | None, tokens: Set[str] | None) -> str:
    """Give what EHLO offers, unless a test says otherwise."""
    return " ".join(["PLAIN LOGIN"] * bool(credentials) + ["XOAUTH2"] * (tokens is not None))


async def right(
    words: list[str], ask: Ask, credentials: tuple[str, str] | None, tokens: Set[str] | None
) -> bool:
    """Run the rest of the dialogue after "AUTH ..." and say whether the credentials are right."""
    mechanism, answers = words[1].upper(), words[2:]
    if mechanism == "CRAM-MD5":
        user, _, digest = _text(await ask(CHALLENGE)).rpartition(" ")
        wanted = hmac.new((credentials or ("", ""))[1].encode(), CHALLENGE, "md5").hexdigest()
        return credentials is not None and (user, digest) == (credentials[0], wanted)
    if mechanism == "XOAUTH2":
        _, bearer = _text(answers[0]).rstrip("\1").split("\1")
        if bearer.removeprefix("auth=Bearer ") in (tokens or ()):
            return True
        await ask(b'{"status":"400","schemes":"Bearer"}')
        return False
    if mechanism == "LOGIN":
        for prompt in (b"User", b"Password")[len(answers) :]:
            answers.append(await ask(prompt))
        return tuple(map(_text, answers)) == credentials
    return tuple(_text(answers[0]).split("\0")[1:]) == credentials


def _text(word: str) -> str:
    try:
        return base64.b64decode(word).decode()
    except (binascii.Error, UnicodeError):
        return ""
