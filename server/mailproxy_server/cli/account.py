"""`mailproxy account`: the relays that mail goes through."""

from typing import Annotated, Any, cast

import typer
from mailproxy.accounts import AccountFields
from mailproxy.errors import NotFoundError
from mailproxy.sync import MailProxyClient
from mailproxy.v1 import account_pb2

from mailproxy_server.cli import options, output
from mailproxy_server.cli.account_options import (
    connections,
    failing,
    limits,
    preset,
    relay,
    retries,
)
from mailproxy_server.cli.account_secrets import oauth, password
from mailproxy_server.cli.account_show import print_account, print_presets, tls_of
from mailproxy_server.cli.connection import FAILED, connected
from mailproxy_server.cli.joining import Fields, joined

AccountId = Annotated[str, typer.Argument(help="The account's id.")]
MaybeId = Annotated[str, typer.Argument(help="The account's id; without it the default one.")]
Force = Annotated[bool, typer.Option("--force", help="Also fail what is queued for it.")]
Etag = Annotated[str, typer.Option(help="Only if the account still has this etag (show has it).")]


def commands(app: typer.Typer) -> None:
    """Add the group of this file to the CLI."""
    group = typer.Typer(help="Set up the relays that mail goes through.", no_args_is_help=True)
    group.command("set", epilog=options.EXIT_CODES)(set_)
    for command in (show, verify, delete, presets):
        group.command(epilog=options.EXIT_CODES)(command)
    group.command("list", epilog=options.EXIT_CODES)(list_)
    app.add_typer(group, name="account")


@joined(preset, relay, connections, password, oauth, limits, retries, failing)
def set_(
    account_id: AccountId,
    fields: Fields,
    etag: Etag = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Create an account, or change what is given of one that there is."""
    if not fields:
        raise typer.BadParameter("say what to set; see --help")
    with connected("account set", target, token_file) as client:
        whole, etag = _whole(client, account_id, fields, etag)
        account = client.update_account(account_id, allow_missing=True, etag=etag, **whole)
    print_account(account, None, as_json)


def show(
    account_id: MaybeId = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Show an account and how it fares; secrets are never shown."""
    with connected("account show", target, token_file) as client:
        account = client.get_account(account_id)
        health = client.account_health(account.account_id)
    print_account(account, health, as_json)


def list_(
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """List the accounts."""
    with connected("account list", target, token_file) as client:
        found = client.list_accounts()
    if as_json:
        output.print_json({"accounts": [output.as_json(each) for each in found]})
        return
    rows = (
        (
            each.account_id,
            f"{each.host}:{each.port}",
            tls_of(each),
            each.username,
            "yes" if each.is_default else "",
        )
        for each in found
    )
    output.print_table("Accounts", ("account", "relay", "tls", "username", "default"), rows)
    if not found:
        print("There is none. Try: mailproxy account set ID --host smtp.example.com")


def delete(
    account_id: AccountId,
    force: Force = False,
    etag: Etag = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Delete an account."""
    with connected("account delete", target, token_file) as client:
        deleted = client.delete_account(account_id, force=force, etag=etag)
    if as_json:
        output.print_json(output.as_json(deleted))
    else:
        print(f"Deleted {account_id}")


def verify(
    account_id: MaybeId = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Let the server connect to the relay, log in and hang up; 1 when that fails."""
    with connected("account verify", target, token_file) as client:
        found = client.verify_account(account_id or client.get_account().account_id)
    if as_json:
        output.print_json(output.as_json(found))
    else:
        output.print_dialogue(found.exchanges)
        print(
            f"OK, {found.tls_version or 'without TLS'}" if found.ok else output.clean(found.problem)
        )
    if not found.ok:
        raise typer.Exit(FAILED)


def presets(as_json: options.Json = False) -> None:
    """List what `account set --preset` knows, and where it is from."""
    print_presets(as_json)


def _whole(
    client: MailProxyClient, account_id: str, fields: Fields, etag: str
) -> tuple[AccountFields, str]:
    """Give the fields with the parts of messages that were not given as they are now, and the
    etag that they had then: a change between reading and writing is not undone."""
    parts = {name for name in ("retry", "oauth") if fields.get(name)}
    current = _current(client, account_id) if parts else None
    if current is not None:
        etag = etag or current.etag
        now = {"retry": _retry(current), "oauth": _oauth(current)}
        fields = fields | {name: now[name] | fields[name] for name in parts}
    return cast(AccountFields, fields), etag


def _current(client: MailProxyClient, account_id: str) -> account_pb2.Account | None:
    try:
        return client.get_account(account_id)
    except NotFoundError:
        return None


def _retry(account: account_pb2.Account) -> dict[str, Any]:
    retry = account.retry
    return {
        "first_delay": retry.first_delay.ToTimedelta(),
        "factor": retry.factor,
        "max_delay": retry.max_delay.ToTimedelta(),
        "jitter": retry.jitter,
        "max_attempts": retry.max_attempts,
        "max_age": retry.max_age.ToTimedelta(),
    }


def _oauth(account: account_pb2.Account) -> dict[str, Any]:
    oauth = account.oauth
    return {"token_url": oauth.token_url, "client_id": oauth.client_id, "scope": oauth.scope}
