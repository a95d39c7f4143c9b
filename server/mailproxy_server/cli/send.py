"""`mailproxy send`: hand one email over, and on request wait for its end."""

import sys
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import unquote, urlsplit

import typer
from mailproxy.attachment import Attachment
from mailproxy.message import Message
from mailproxy.submission import Submission

from mailproxy_server.cli import options, output
from mailproxy_server.cli import template as template_options
from mailproxy_server.cli.connection import FAILED, connected
from mailproxy_server.cli.eml import recipients_of, with_crlf
from mailproxy_server.cli.watching import print_until_final

_ONE = "As ann@example.com or 'Ann <ann@example.com>'."
Sender = Annotated[str | None, typer.Option("--from", help=_ONE)]
Recipients = Annotated[list[str] | None, typer.Option(help=f"{_ONE} Repeat for more.")]
Subject = Annotated[str | None, typer.Option(help="The Subject.")]
Body = Annotated[str | None, typer.Option(help="The body, as it is.")]
BodyFile = Annotated[str | None, typer.Option(help="The body from a file; - reads stdin.")]
Attach = Annotated[
    list[str] | None,
    typer.Option(help="A file to attach, or a URL that the server gets. Repeat for more."),
]
Template = Annotated[
    str | None, typer.Option(help="A template on the server, in place of subject and body.")
]
Eml = Annotated[
    Path | None,
    typer.Option(
        help="A finished message in place of subject, body and attachments. Its To, Cc and Bcc "
        "get it unless --to is given; --from is MAIL FROM."
    ),
]
Account = Annotated[str | None, typer.Option(help="The account to send by; else the default.")]
Priority = Annotated[options.PriorityName | None, typer.Option(help="What goes first.")]
SendAt = Annotated[str | None, typer.Option(help="Not before: 2030-01-31T09:00, or 10m, 2h, 1d.")]
Expires = Annotated[str | None, typer.Option(help="Not after, counted from then: 10m, 2h, 1d.")]
Label = Annotated[list[str] | None, typer.Option(help="key=value, to select by. Repeat.")]
RequestId = Annotated[
    str | None, typer.Option(help="Makes it safe to repeat: the same id is sent once.")
]
AtMostOnce = Annotated[
    bool,
    typer.Option("--at-most-once", help="Never twice: if nobody knows what came of it, it fails."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Print the reports until all are final.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds to wait at most, with --wait.")]


def commands(app: typer.Typer) -> None:
    """Add the command of this file to the CLI."""
    app.command(epilog=options.EXIT_CODES)(send)


def send(
    sender: Sender = None,
    to: Recipients = None,
    cc: Recipients = None,
    bcc: Recipients = None,
    reply_to: Recipients = None,
    subject: Subject = None,
    text: Body = None,
    html: Body = None,
    text_file: BodyFile = None,
    html_file: BodyFile = None,
    attach: Attach = None,
    template: Template = None,
    var: template_options.Given = None,
    variables_file: template_options.VariablesFile = None,
    eml: Eml = None,
    account: Account = None,
    priority: Priority = None,
    send_at: SendAt = None,
    expires: Expires = None,
    label: Label = None,
    at_most_once: AtMostOnce = False,
    request_id: RequestId = None,
    wait: Wait = False,
    timeout: Timeout = None,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Queue one email; with --wait, say what became of it (then 1 means: not all were sent)."""
    given: dict[str, Any] = {"cc": cc, "bcc": bcc, "reply_to": reply_to, "subject": subject}
    given |= {"text": _body(text, text_file), "html": _body(html, html_file)}
    given |= {"attachments": _attachments(attach), **_made(template, var, variables_file)}
    message = _finished(eml, sender, to, given) if eml else _composed(sender, to, given)
    message.update(_terms(account, priority, send_at, expires, label))
    message |= Message(request_id=request_id, at_most_once=at_most_once)
    with connected("send", target, token_file, retry=True) as client:
        _print(submission := client.submit(**message), as_json)
        if wait and not print_until_final(client, submission.message_id, timeout, as_json):
            raise typer.Exit(FAILED)


def _composed(sender: str | None, to: list[str] | None, given: dict[str, Any]) -> Message:
    if not sender:
        raise typer.BadParameter("say who it is from", param_hint="--from")
    if not (to or given["cc"] or given["bcc"]):
        raise typer.BadParameter("say who gets it", param_hint="--to")
    return cast(Message, {"from_address": sender, "to": to, **given})


def _finished(
    path: Path, sender: str | None, to: list[str] | None, given: dict[str, Any]
) -> Message:
    if both := [f"--{name.replace('_', '-')}" for name, value in given.items() if value]:
        raise typer.BadParameter(
            f"is the whole message; leave out {', '.join(both)}", param_hint="--eml"
        )
    try:
        octets = with_crlf(path.read_bytes())
        recipients = to or recipients_of(octets)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--eml") from None
    if not recipients:
        raise typer.BadParameter("the file names no recipients; give --to", param_hint="--eml")
    return Message(raw_mime=octets, recipients=recipients, return_path=sender)


def _made(template: str | None, var: list[str] | None, path: str | None) -> dict[str, Any]:
    """Give the template and its variables, where either is given."""
    if not (template or var or path):
        return {}
    return {"template": template, "variables": template_options.variables_of(var, path)}


def _attachments(given: list[str] | None) -> list[Attachment] | None:
    return [_attachment(each) for each in given or ()] or None


def _attachment(given: str) -> Attachment:
    if given.startswith(("https://", "http://")):
        name = unquote(urlsplit(given).path.rpartition("/")[2])
        return Attachment(name or "attachment", url=given)
    path = Path(given)
    if not path.is_file():
        raise typer.BadParameter(f"{given} is not a file", param_hint="--attach")
    return Attachment(path.name, path=path)


def _terms(
    account: str | None,
    priority: options.PriorityName | None,
    send_at: str | None,
    expires: str | None,
    label: list[str] | None,
) -> Message:
    return Message(
        account=account,
        priority=priority,
        send_time=options.ahead(send_at, "--send-at") if send_at else None,
        ttl=options.length(expires, "--expires") if expires else None,
        labels=options.pairs(label),
    )


def _body(text: str | None, path: str | None) -> str | None:
    if path is None:
        return text
    if text is not None:
        raise typer.BadParameter("give the text or a file, not both")
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeError) as error:
        raise typer.BadParameter(str(error)) from None


def _print(submission: Submission, as_json: bool) -> None:
    if as_json:
        output.print_json(
            {"request_id": submission.request_id, **output.as_json(submission.response)}
        )
        return
    again = " (accepted before)" if submission.replayed else ""
    count = len(submission.recipients)
    print(f"Queued {submission.message_id} for {count} recipient{'s' * (count != 1)}{again}")
