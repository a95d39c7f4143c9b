"""The `mailproxy` command: puts the groups together, and does nothing itself."""

import typer

from mailproxy_server.cli import (
    account,
    audit,
    demo,
    diagnose,
    dkim,
    endpoint,
    health,
    live,
    message,
    outbox,
    pausing,
    queue,
    reports,
    send,
    serve,
    template,
    trying,
    upload,
)

app = typer.Typer(
    name="mailproxy",
    help="Hand emails over in one call; they are queued durably, sent by SMTP, and reported on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
serve.add_to(app)
for group in (send, upload, reports, account, endpoint, dkim, message, queue, pausing):
    group.commands(app)
for group in (diagnose, live, health, trying, template, outbox, audit, demo):
    group.commands(app)
