"""`mailproxy audit`: proofs from the report log. Reads the database itself, as `migrate` does."""

import asyncio
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from mailproxy_server.app import audit
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.cli import options, output
from mailproxy_server.policy.windows import Limit, Unit
from mailproxy_server.settings import SettingsError, load

AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account's id.")]
Tenant = Annotated[str, typer.Option(help="The tenant's name.")]
Since = Annotated[
    str, typer.Option(help="From then on: 2h ago, 1d ago, or an ISO 8601 time. Default: all.")
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        help="Instead of the account's own limits, as 30/10s, or 500/1h/messages. Repeat.",
    ),
]

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
_LIMIT = re.compile(r"([1-9]\d{0,9})/(\d+[smhd])(?:/(recipients|messages))?\Z")


def commands(app: typer.Typer) -> None:
    """Add the group of this file to the CLI."""
    group = typer.Typer(help="Prove from the report log.", no_args_is_help=True)
    group.callback()(lambda: None)  # so that its one command has a name
    group.command()(limits)
    app.add_typer(group, name="audit")


def limits(
    account: AccountId,
    tenant: Tenant = "default",
    since: Since = "",
    limit: Limits = None,
    as_json: options.Json = False,
) -> None:
    """Say whether more ever left within any window than an account's limits allow.

    Counts what left by all accounts that share them, by the instants of MAIL in the report log.
    Exit code 1: a limit was exceeded, or the log cannot be read. Reads MAILPROXY_DATABASE_URL, or
    the embedded database.
    """
    begin = options.ago(since, "--since") if since else _BEGINNING
    instead = [_limit(each) for each in limit or ()]
    try:
        found = asyncio.run(audit.limits(load(), tenant, account, begin, instead))
    except (Refusal, SettingsError) as refusal:
        print(f"mailproxy: {refusal}", file=sys.stderr)
        sys.exit(1)
    if as_json:
        output.print_json(_as_json(found))
    else:
        _print(found)
    sys.exit(1 if any(each.exceeded for each in found.findings) else 0)


def _limit(text: str) -> Limit:
    found = _LIMIT.match(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is not as 30/10s, or 500/1h/messages", param_hint="--limit"
        )
    window = options.length(found[2], "--limit").total_seconds()
    if not window:
        raise typer.BadParameter("a window has a length", param_hint="--limit")
    return Limit(int(found[1]), window, Unit(found[3] or Unit.RECIPIENTS))


def _as_json(found: audit.Audit) -> dict[str, object]:
    return {
        "accounts": list(found.account_ids),
        "recipients": found.recipients,
        "messages": found.messages,
        "limits": [
            {
                **asdict(each.limit),
                "fullest": each.fullest.count,
                "begin": each.fullest.begin.isoformat() if each.fullest.begin else None,
                "exceeded": each.exceeded,
            }
            for each in found.findings
        ],
        "exceeded": any(each.exceeded for each in found.findings),
    }


def _print(found: audit.Audit) -> None:
    output.print_table(
        f"{', '.join(found.account_ids)}: {found.messages} transactions, "
        f"{found.recipients} recipients",
        ("limit", "fullest window", "began", ""),
        (
            (
                f"{each.limit.count} {each.limit.unit} in {each.limit.window:g} s",
                str(each.fullest.count),
                each.fullest.begin.isoformat(" ", "milliseconds") if each.fullest.begin else "",
                Text("EXCEEDED", style="red") if each.exceeded else Text("kept", style="green"),
            )
            for each in found.findings
        ),
    )
    if not found.findings:
        print("The account has no limits. Name some: --limit 100/1m")
    elif not any(each.exceeded for each in found.findings):
        print("No limit was exceeded in any window.")
