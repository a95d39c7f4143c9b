"""`mailproxy test-send`: does an account work, from the login to the relay's 250?"""

import secrets
from typing import Annotated

import typer
from mailproxy.message import Message, to_request
from mailproxy.sync import MailProxyClient

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import FAILED, connected
from mailproxy_server.cli.watching import print_until_final

SUBJECT = "A test of gRPC Mail Proxy"
TEXT = "If you read this, the account works: {account}.\n"

AccountId = Annotated[str, typer.Argument(help="The account to try.")]
To = Annotated[str, typer.Argument(help="Who gets the test mail: somebody who expects it.")]
Sender = Annotated[
    str,
    typer.Option(
        "--from", help="Default: the account's user name where it is an address, else TO itself."
    ),
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for its end.")]


def commands(app: typer.Typer) -> None:
    """Add the command of this file to the CLI."""
    app.command("test-send", epilog=options.EXIT_CODES)(send_one)


def send_one(
    account_id: AccountId,
    to: To,
    sender: Sender = "",
    timeout: Timeout = 60.0,
    target: options.Target = None,
    token_file: options.TokenFile = None,
) -> None:
    """Log in to the relay, send one mail, and show all that was said; 1 when it was not sent."""
    with connected("test-send", target, token_file) as client:
        sender = sender or _sender(client.get_account(account_id).username, to)
        if not _verified(client, account_id):
            raise typer.Exit(FAILED)
        trace_id = secrets.token_hex(16)
        text = TEXT.format(account=account_id)
        message = Message(
            from_address=sender, to=to, subject=SUBJECT, text=text, account=account_id
        )
        request = to_request(message)
        request.traceparent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        print(f"\nSending one mail from {sender} to {to}; trace {trace_id}")
        sent = client.submit_request(request)
        done = print_until_final(client, sent.message_id, timeout, False)
        for attempt in client.get_message(sent.message_id, include_attempts=True).attempts:
            output.print_dialogue(attempt.exchanges)
    if not done:
        raise typer.Exit(FAILED)


def _sender(username: str, to: str) -> str:
    """Give an address that the relay likely lets the account send from."""
    return username if "@" in username else to


def _verified(client: MailProxyClient, account_id: str) -> bool:
    """Try the login, and show it."""
    print(f"Logging in as the account {account_id} does")
    found = client.verify_account(account_id)
    output.print_dialogue(found.exchanges)
    print(f"OK, {found.tls_version or 'without TLS'}" if found.ok else output.clean(found.problem))
    return found.ok
