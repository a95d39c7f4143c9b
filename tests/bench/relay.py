"""A slow relay, as those far away are. A program; prints its port, then a line for each message.

It takes 300 ms to connect and greet, 200 ms for AUTH and 50 ms at each final dot. A line is the
time of the 250, in seconds of CLOCK_MONOTONIC. Connections are independent of each other.
"""

import asyncio
import time

CONNECT, AUTH, DOT = 0.3, 0.2, 0.05
LOOPBACK = "127.0.0.1"
OFFER = (
    b"250-relay.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN LOGIN\r\n"
)
ANSWERS = {
    b"MAIL": b"250 2.1.0 ok\r\n",
    b"RCPT": b"250 2.1.5 ok\r\n",
    b"RSET": b"250 2.0.0 ok\r\n",
    b"NOOP": b"250 2.0.0 ok\r\n",
    b"HELO": b"250 relay.test\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


async def authenticate(
    line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer AUTH PLAIN with its initial response, or ask for the words of the other forms."""
    questions = 3 - len(line.split()) if b"PLAIN" in line.upper() else 2
    for question in (b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n")[:questions]:
        writer.write(question)
        await reader.readline()
    await asyncio.sleep(AUTH)
    writer.write(b"235 2.7.0 ok\r\n")


async def take_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read a message to its dot and accept it."""
    writer.write(b"354 go on\r\n")
    await reader.readuntil(b"\r\n.\r\n")
    await asyncio.sleep(DOT)
    writer.write(b"250 2.0.0 taken\r\n")
    print(time.monotonic(), flush=True)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak with one client."""
    await asyncio.sleep(CONNECT)
    writer.write(b"220 relay.test ESMTP\r\n")
    while line := await reader.readline():
        verb = line[:4].upper()
        if verb == b"EHLO":
            writer.write(OFFER)
        elif verb == b"AUTH":
            await authenticate(line, reader, writer)
        elif verb == b"DATA":
            await take_message(reader, writer)
        else:
            writer.write(ANSWERS.get(verb, b"500 5.5.1 what?\r\n"))
        if verb == b"QUIT":
            break
    writer.close()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, LOOPBACK, 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
