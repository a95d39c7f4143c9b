"""`mailproxy account`: the relays that mail goes through."""

import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from mailproxy.accounts import AccountFields
from mailproxy.v1 import account_pb2

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import FAILED, connected

AccountId = Annotated[str, typer.Argument(help="The account's id.")]
MaybeId = Annotated[str, typer.Argument(help="The account's id; without it the default one.")]
Host = Annotated[str | None, typer.Option(help="The relay's host name or address.")]
Port = Annotated[int | None, typer.Option(help="Default: 465 for implicit, 25 for none, else 587.")]
Tls = Annotated[options.TlsName | None, typer.Option(help="Default: starttls.")]
Insecure = Annotated[
    bool | None, typer.Option("--insecure/--verify", help="Accept any certificate. For tests.")
]
CaFile = Annotated[Path | None, typer.Option(help="PEM of the authorities to trust.")]
Username = Annotated[str | None, typer.Option(help="For AUTH.")]
AskPassword = Annotated[bool, typer.Option("--password", help="Ask for the password.")]
PasswordFile = Annotated[
    str | None, typer.Option(help="File that holds the password; - reads stdin.")
]
EhloName = Annotated[str | None, typer.Option(help="What EHLO says. Default: the host's name.")]
Connections = Annotated[int | None, typer.Option(help="At once, per replica. Default 10.")]
Recipients = Annotated[int | None, typer.Option(help="Per transaction. Default 50.")]
Messages = Annotated[int | None, typer.Option(help="Per connection. Default 0: no limit.")]
IdleTtl = Annotated[str | None, typer.Option(help="Keep idle connections so long. Default 5m.")]
Pipelining = Annotated[bool | None, typer.Option(help="Use PIPELINING where it is offered.")]
Default = Annotated[bool, typer.Option("--default", help="Make it the default account.")]
Force = Annotated[bool, typer.Option("--force", help="Also fail what is queued for it.")]


def commands(app: typer.Typer) -> None:
    """Add the group of this file to the CLI."""
    group = typer.Typer(help="Set up the relays that mail goes through.", no_args_is_help=True)
    group.command("set", epilog=options.EXIT_CODES)(set_)
    for command in (show, verify, delete):
        group.command(epilog=options.EXIT_CODES)(command)
    group.command("list", epilog=options.EXIT_CODES)(list_)
    app.add_typer(group, name="account")


def set_(
    account_id: AccountId,
    host: Host = None,
    port: Port = None,
    tls: Tls = None,
    tls_insecure_skip_verify: Insecure = None,
    ca_file: CaFile = None,
    username: Username = None,
    ask_password: AskPassword = False,
    password_file: PasswordFile = None,
    ehlo_name: EhloName = None,
    max_connections: Connections = None,
    max_recipients: Recipients = None,
    max_messages: Messages = None,
    idle_ttl: IdleTtl = None,
    pipelining: Pipelining = None,
    default: Default = False,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Create an account, or change what is given of one that there is."""
    given: dict[str, Any] = {"host": host, "port": port, "ehlo_name": ehlo_name}
    given |= _security(tls, tls_insecure_skip_verify, ca_file)
    given |= {"username": username, "password": _password(ask_password, password_file)}
    given |= _limits(max_connections, max_recipients, max_messages, idle_ttl)
    given["disable_pipelining"] = None if pipelining is None else not pipelining
    given["is_default"] = default or None
    fields = cast(AccountFields, {k: v for k, v in given.items() if v is not None})
    if not fields:
        raise typer.BadParameter("say what to set; see --help")
    with connected("account set", target, token_file) as client:
        _show(client.update_account(account_id, allow_missing=True, **fields), as_json)


def show(
    account_id: MaybeId = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Show an account; its password is never shown."""
    with connected("account show", target, token_file) as client:
        _show(client.get_account(account_id), as_json)


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
            _tls(each),
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
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Delete an account."""
    with connected("account delete", target, token_file) as client:
        deleted = client.delete_account(account_id, force=force)
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


def _security(
    tls: options.TlsName | None, insecure: bool | None, ca_file: Path | None
) -> dict[str, Any]:
    return {
        "tls": tls,
        "tls_insecure_skip_verify": insecure,
        "tls_ca_certificates": _read(str(ca_file), "--ca-file") if ca_file else None,
    }


def _limits(
    connections: int | None, recipients: int | None, messages: int | None, idle_ttl: str | None
) -> dict[str, Any]:
    return {
        "max_connections": connections,
        "max_recipients_per_transaction": recipients,
        "max_messages_per_connection": messages,
        "idle_ttl": options.length(idle_ttl, "--idle-ttl") if idle_ttl else None,
    }


def _show(account: account_pb2.Account, as_json: bool) -> None:
    if as_json:
        output.print_json(output.as_json(account))
        return
    rows = [
        (field.name, _tls(account) if field.name == "tls" else str(value))
        for field, value in account.ListFields()
        if field.message_type is None
    ]
    rows.append(("idle_ttl", f"{account.idle_ttl.ToSeconds()} s"))
    output.print_table(f"Account {account.account_id}", ("", ""), rows)
    if account.username and not account.has_password:
        print(f"It has no password. Try: mailproxy account set {account.account_id} --password")


def _tls(account: account_pb2.Account) -> str:
    return output.name(account_pb2.TlsMode, account.tls, "TLS_MODE_").lower()


def _password(ask: bool, path: str | None) -> str | None:
    """A password comes from a prompt or a file: a command line is seen by everybody."""
    if ask and path:
        raise typer.BadParameter("give --password or --password-file, not both")
    if ask:
        return str(typer.prompt("Password", hide_input=True))
    return None if path is None else _read(path, "--password-file").rstrip("\r\n")


def _read(path: str, option: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
