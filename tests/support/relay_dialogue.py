"""One connection to a scripted relay: reads commands and content, answers as the player says."""

import asyncio
import base64
import ssl
import time
from typing import Protocol

from tests.support.relay_auth import mechanisms, right
from tests.support.relay_script import Player, Received, Say, Seen


class Hosting(Protocol):
    """What a dialogue asks of its relay."""

    extensions: tuple[str, ...]
    tls: ssl.SSLContext | None
    implicit: bool
    credentials: tuple[str, str] | None
    tokens: set[str] | None
    player: Player
    messages: list[Received]

    def note(self, kept: Seen | Received) -> None:
        """Keep what came."""


class Dialogue:
    """Runs from the greeting until somebody leaves; raises EOFError or OSError then."""

    def __init__(
        self,
        relay: Hosting,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ):
        self._relay = relay
        self._number = number
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._secure = relay.implicit
        self._mail: str | None = None
        self._recipients: list[str] = []
        self._left = False

    async def run(self) -> None:
        """Converse."""
        await self._answer("CONNECT", "", "220 relay.test ESMTP")
        while not self._left:
            line = await self._line()
            verb = line[:4].upper().strip()
            verb = "STARTTLS" if line.upper().startswith("STARTTLS") else verb
            match verb:
                case "DATA":
                    await self._data(line)
                case "STARTTLS":
                    await self._starttls(line)
                case "AUTH":
                    await self._auth(line)
                case _:
                    said = await self._answer(verb, line, self._ordinary(verb, line))
                    self._remember(verb, line, said.code)

    def _ordinary(self, verb: str, line: str) -> str:
        match verb:
            case "EHLO":
                words = list(self._relay.extensions)
                if self._relay.tls and not self._secure:
                    words.append("STARTTLS")
                if offered := mechanisms(self._relay.credentials, self._relay.tokens):
                    words.append(f"AUTH {offered}")
                lines = ["relay.test", *words]
                return "\n".join([f"250-{word}" for word in lines[:-1]] + [f"250 {lines[-1]}"])
            case "MAIL":
                return "503 5.5.1 nested MAIL" if self._mail is not None else "250 2.1.0 Ok"
            case "RCPT":
                return "503 5.5.1 MAIL first" if self._mail is None else "250 2.1.5 Ok"
            case "DATA":
                return "354 go on" if self._recipients else "554 5.5.1 no valid recipients"
            case "QUIT":
                return "221 2.0.0 bye"
            case "RSET" | "NOOP":
                return "250 2.0.0 Ok"
        return "502 5.5.2 not known"

    def _remember(self, verb: str, line: str, code: int) -> None:
        if verb in ("RSET", "EHLO") and code == 250:
            self._mail, self._recipients = None, []
        elif verb == "MAIL" and code == 250:
            self._mail = line[line.index("<") + 1 : line.rindex(">")]
        elif verb == "RCPT" and code == 250:
            self._recipients.append(line[line.index("<") + 1 : line.rindex(">")])
        elif verb == "QUIT":
            self._left = True

    async def _data(self, line: str) -> None:
        said = await self._answer("DATA", line, self._ordinary("DATA", line))
        if said.code != 354:
            return
        wire = await self._content()
        unstuffed = wire.replace(b"\r\n..", b"\r\n.")
        seen = Seen(self._number, "DOT", ".", time.monotonic(), self._secure)
        ordinary = f"250 2.0.0 Ok: queued as R{len(self._relay.messages) + 1}"
        say = self._relay.player.answer(seen, ordinary if self._recipients else "554 5.5.1 none")
        self._relay.note(
            Received(
                self._number,
                self._mail or "",
                tuple(self._recipients),
                unstuffed[2:],
                wire[2:],
                seen.at,
                say.code,
            )
        )
        self._mail, self._recipients = None, []
        await self._say(seen, say)

    async def _content(self) -> bytes:
        """Give the content up to the final dot, led by the line end before it."""
        if self._relay.player.plays("BODY"):
            if not self._buffer:
                await self._more()
            await self._answer("BODY", "", "")
        content = bytearray(b"\r\n")
        searched = 0
        while True:
            content += self._buffer
            self._buffer.clear()
            end = content.find(b"\r\n.\r\n", searched)
            if end >= 0:
                self._buffer += content[end + 5 :]
                return bytes(content[: end + 2])
            searched = max(0, len(content) - 4)
            await self._more()

    async def _starttls(self, line: str) -> None:
        said = await self._answer("STARTTLS", line, "220 2.0.0 go on")
        if said.code == 220 and self._relay.tls and not said.extra:
            self._buffer.clear()
            await self._writer.start_tls(self._relay.tls)
            self._secure = True

    async def _auth(self, line: str) -> None:
        relay = self._relay
        good = await right(line.split(), self._ask, relay.credentials, relay.tokens)
        ordinary = "235 2.7.0 welcome" if good else "535 5.7.8 wrong user or password"
        await self._answer("AUTH", line, ordinary)

    async def _ask(self, challenge: bytes) -> str:
        await self._write(b"334 " + base64.b64encode(challenge) + b"\r\n")
        return await self._line()

    async def _answer(self, verb: str, line: str, ordinary: str) -> Say:
        seen = Seen(self._number, verb, line, time.monotonic(), self._secure)
        if verb not in ("CONNECT", "BODY"):
            self._relay.note(seen)
        return await self._say(seen, self._relay.player.answer(seen, ordinary))

    async def _say(self, seen: Seen, say: Say) -> Say:
        if say.after is not None:
            await say.after.wait()
        reply = say.text.replace("\n", "\r\n").encode() + b"\r\n" if say.text else b""
        for piece in [bytes([n]) for n in reply] if say.drip else [reply + say.extra]:
            await self._write(piece)
            if say.drip:
                await asyncio.sleep(say.drip)
        if say.cut:
            self._writer.transport.abort()
            raise ConnectionAbortedError(f"cut as scripted at {seen.verb}")
        return say

    async def _write(self, octets: bytes) -> None:
        if octets:
            self._writer.write(octets)
            await self._writer.drain()

    async def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            await self._more()
        line, _, rest = bytes(self._buffer).partition(b"\r\n")
        self._buffer[:] = rest
        return line.decode()

    async def _more(self) -> None:
        chunk = await self._reader.read(1 << 18)
        if not chunk:
            raise EOFError
        self._buffer += chunk
