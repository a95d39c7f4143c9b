"""A caller in a process of its own. A program: it knows the client library and nothing else here.

Run by any checkout's Python. It sets up the account, says "ready", then for each line "go N"
submits N messages and answers with one line of JSON. Times are CLOCK_MONOTONIC seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
import uvloop
from mailproxy import AsyncMailProxyClient, Message
from mailproxy.v1 import account_pb2, account_pb2_grpc, message_pb2, message_pb2_grpc

SENDER, DOMAIN = "bench@sender.test", "inbox.test"
LINE = "The quick brown fox jumps over the lazy dog, once more and again.\r\n"
BODY = LINE * 30
BATCH = 100
HEAD = (
    "From: Bench <{sender}>\r\nTo: {to}\r\nSubject: message {number}\r\n"
    "Date: Mon, 24 Nov 2025 20:00:00 +0000\r\nMessage-ID: <{number}.bench@sender.test>\r\n"
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
)

Send = Callable[[list[int]], Awaitable[None]]


def recipient(number: int) -> str:
    """Give the recipient of the message of this number."""
    return f"user{number}@{DOMAIN}"


def raw(number: int) -> bytes:
    """Give a finished message of about 2 KB."""
    head = HEAD.format(sender=SENDER, to=recipient(number), number=number)
    return (head + BODY).encode()


@dataclass(frozen=True, slots=True)
class Mail:
    """What every message has in common: raw or composed content, and the account."""

    content: str
    account: str

    def request(self, number: int) -> message_pb2.SubmitMessageRequest:
        """Give the request of one message; its request_id makes it safe to repeat."""
        email = message_pb2.Email(account_id=self.account)
        if self.content == "raw":
            email.raw_mime = raw(number)
            email.envelope.return_path = SENDER
            email.envelope.recipients.append(recipient(number))
        else:
            email.composed.from_address.address = SENDER
            email.composed.to.add(address=recipient(number))
            email.composed.subject = f"message {number}"
            email.composed.text_body = BODY
        request_id = f"{self.account}-{number}"
        return message_pb2.SubmitMessageRequest(email=email, request_id=request_id)

    def fields(self, number: int) -> Message:
        """Give the same message as a user of the client library writes it."""
        if self.content == "raw":
            return Message(
                account=self.account,
                raw_mime=raw(number),
                return_path=SENDER,
                recipients=[recipient(number)],
            )
        return Message(
            account=self.account,
            from_address=SENDER,
            to=recipient(number),
            subject=f"message {number}",
            text=BODY,
        )


def by_stub(stub: message_pb2_grpc.MessageServiceAsyncStub, token: str, mail: Mail) -> Send:
    """Submit one message a call, or all of a list in one."""
    metadata = (("authorization", f"Bearer {token}"),)

    async def send(numbers: list[int]) -> None:
        requests = [mail.request(number) for number in numbers]
        if len(requests) == 1:
            await stub.SubmitMessage(requests[0], timeout=60, metadata=metadata)
            return
        batch = message_pb2.SubmitMessagesRequest(requests=requests)
        answer = await stub.SubmitMessages(batch, timeout=60, metadata=metadata)
        errors = [each.error.message for each in answer.results if each.HasField("error")]
        if errors:
            raise SystemExit(f"{len(errors)} messages of a batch were refused: {errors[0]}")

    return send


def by_client(client: AsyncMailProxyClient, mail: Mail) -> Send:
    """Submit one message a call of the client library."""

    async def send(numbers: list[int]) -> None:
        for number in numbers:
            await client.submit(**mail.fields(number))

    return send


async def burst(send: Send, numbers: list[list[int]], callers: int) -> dict[str, object]:
    """Send everything from `callers` concurrent callers; gives what was seen."""
    work, waits = iter(numbers), []

    async def call() -> None:
        for each in work:
            began = time.monotonic()
            await send(each)
            waits.append(time.monotonic() - began)

    began, spent = time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(callers, len(numbers))):
            group.create_task(call())
    ended = time.monotonic()
    waits.sort()
    return {
        "began": began,
        "ended": ended,
        "p50_ms": 1000 * waits[len(waits) // 2],
        "p99_ms": 1000 * waits[min(len(waits) - 1, len(waits) * 99 // 100)],
        "cpu_s": time.process_time() - spent,
    }


async def set_up_account(channel: grpc.aio.Channel, options: argparse.Namespace) -> None:
    """Make the default account, or change it to this relay."""
    host, _, port = options.relay.rpartition(":")
    account = account_pb2.Account(
        account_id=options.account,
        host=host,
        port=int(port),
        tls=account_pb2.TLS_MODE_NONE,
        max_connections=options.connections,
        username="bench" if options.password else "",
        password=options.password,
    )
    stub: account_pb2_grpc.AccountServiceAsyncStub = account_pb2_grpc.AccountServiceStub(channel)
    await stub.ManageAccount(
        account_pb2.ManageAccountRequest(
            action=account_pb2.ACCOUNT_ACTION_UPDATE, account=account, allow_missing=True
        ),
        timeout=30,
        metadata=(("authorization", f"Bearer {options.token}"),),
    )


async def main(options: argparse.Namespace) -> None:
    """Do as the lines on standard input say, until they end."""
    counter, mail = itertools.count(1), Mail(options.content, options.account)
    async with (
        grpc.aio.insecure_channel(options.target) as channel,
        AsyncMailProxyClient(options.target, options.token, timeout=60) as client,
    ):
        await set_up_account(channel, options)
        if options.mode == "client":
            send = by_client(client, mail)
        else:
            stub = message_pb2_grpc.MessageServiceStub(channel)
            send = by_stub(stub, options.token, mail)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            wanted = list(itertools.islice(counter, int(line.split()[1])))
            size = BATCH if options.mode == "batch" else 1
            parts = [wanted[at : at + size] for at in range(0, len(wanted), size)]
            print(json.dumps(await burst(send, parts, options.callers)), flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--mode", "--content", "--target", "--token", "--relay"):
        parser.add_argument(name, required=True)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--account", default="bench")
    parser.add_argument("--password", default="", help="for AUTH; without it there is none")
    parser.add_argument("--connections", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(arguments()))
