"""The demo's process beside a server: the inbox, three messages and their reports, and what to
type next. Lives until the server drains."""

import asyncio
import contextlib
import sys
from datetime import UTC, datetime
from email import policy
from email.parser import BytesHeaderParser
from pathlib import Path

from mailproxy import AsyncMailProxyClient
from mailproxy.environment import DEFAULT_TARGET
from mailproxy.message import Message
from mailproxy.v1.delivery_pb2 import DeliveryReport, ReportEvent

from mailproxy_server.app.datadir import locate
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.demo import samples
from mailproxy_server.demo.inbox import Inbox, Received
from mailproxy_server.settings import Settings
from mailproxy_server.web import mailbox

ACCOUNT = "demo"
_PATIENCE = 30.0
"""Seconds within which the front is expected to serve."""


async def run(settings: Settings, lifeline: Lifeline, database_url: str) -> None:
    """Show the demo, then keep the inbox open until the drain."""
    del database_url  # the demo is a user: it knows of the server what its address says
    folder = locate(settings.data_dir) / mailbox.FOLDER

    def caught(received: Received) -> None:
        _tell_received(received)
        with contextlib.suppress(OSError):  # a full disk: the page shows less
            mailbox.keep(folder, received.mail_from, received.rcpt_to, received.octets)

    inbox = Inbox(*settings.demo_listen, on_message=caught)
    await inbox.start()
    lifeline.ready()
    token_file = locate(settings.data_dir) / "token"
    show = asyncio.create_task(_show(settings, inbox, token_file), name="show")
    drain = asyncio.create_task(lifeline.until_drain(), name="drain")
    await asyncio.wait([show, drain], return_when=asyncio.FIRST_COMPLETED)
    if show.done():
        show.result()
        await drain
    show.cancel()
    await inbox.stop()


async def _show(settings: Settings, inbox: Inbox, token_file: Path) -> None:
    target = str(settings.grpc_listen)
    token = await _token(settings, token_file)
    async with AsyncMailProxyClient(target, token, timeout=_PATIENCE) as client:
        host, port = settings.demo_listen
        await client.update_account(ACCOUNT, allow_missing=True, host=host, port=port, tls="none")
        _say(f"\nThe account `{ACCOUNT}` sends to the demo inbox at {settings.demo_listen}.\n")
        await asyncio.gather(
            *(
                _submit(client, number, what, message)
                for number, (what, message) in enumerate(samples.samples(datetime.now(UTC)), 1)
            )
        )
    page = f" Look at them: http://{settings.http_listen}/" if settings.http_listen else ""
    _say(_next_steps(target, token_file, len(inbox.messages), page))


async def _submit(client: AsyncMailProxyClient, number: int, what: str, message: Message) -> None:
    began = asyncio.get_running_loop().time()
    submission = await client.submit(**message | {"account": ACCOUNT})
    took = (asyncio.get_running_loop().time() - began) * 1000
    _say(f"message {number} ({what}): queued in {took:.0f} ms as {submission.message_id}")
    async for report in client.watch(submission.message_id):
        _say(f"message {number}: {_describe(report)}")


async def _token(settings: Settings, token_file: Path) -> str:
    """Give the token; the front writes its file when it makes the first tenant."""
    if settings.bootstrap_token is not None:
        return settings.bootstrap_token.get_secret_value()
    async with asyncio.timeout(_PATIENCE):
        while not await asyncio.to_thread(token_file.exists):
            await asyncio.sleep(0.05)
    return (await asyncio.to_thread(token_file.read_text)).strip()


def _describe(report: DeliveryReport) -> str:
    event = ReportEvent.Name(report.event).removeprefix("REPORT_EVENT_")
    reply = report.reply
    said = " ".join(filter(None, (str(reply.code or ""), reply.enhanced_code, reply.text)))
    return f"report {report.offset}  {event:<8} {report.recipient}  ({said})"


def _tell_received(received: Received) -> None:
    names = ", ".join(received.rcpt_to)
    headers = BytesHeaderParser(policy=policy.default).parsebytes(received.octets)
    given = str(headers.get("Subject", "(no subject)"))
    subject = "".join(each if each.isprintable() else "?" for each in given)
    _say(
        f'inbox: "{subject}" from {received.mail_from} for {names} ({len(received.octets)} octets)'
    )


def _next_steps(target: str, token_file: Path, caught: int, page: str) -> str:
    data = '{"email": {"composed": {"from_address": {"address": "me@demo.test"}, "to": \
[{"address": "you@demo.test"}], "subject": "hello", "text_body": "hi"}}}'
    exports = {"PATH": f"{Path(sys.executable).parent}:$PATH"}
    if token_file != locate(None) / "token":
        exports["MAILPROXY_TOKEN_FILE"] = str(token_file)
    if target != DEFAULT_TARGET:
        exports["MAILPROXY_TARGET"] = target
    where = "".join(f'  export {name}="{value}"\n' for name, value in exports.items())
    return f"""
The inbox has caught {caught} messages.{page} Try, in another terminal:

{where}
  mailproxy send --from me@demo.test --to you@demo.test --subject hello --text hi --wait
  mailproxy send --from me@demo.test --to 451-twice@demo.test --subject retry --text hi
  mailproxy run-now --retries --account demo   # twice; else the first retry comes in a minute
  mailproxy reports
  mailproxy status

  grpcurl -plaintext -H "authorization: Bearer $(cat {token_file})" \\
    -d '{data}' \\
    {target} mailproxy.v1.MessageService/SubmitMessage

  python -c 'from mailproxy import MailProxyClient as Client; print(*Client.from_env().submit(
    from_address="me@demo.test", to="you@demo.test", subject="hello", text="hi").wait())'

  mailproxy demo kill   # 500 messages through processes that are killed meanwhile

Ctrl-C stops everything.
"""


def _say(line: str) -> None:
    print(line, flush=True)
