"""`mailproxy endpoint`: services that an account's attachments come from."""

from enum import StrEnum
from typing import Annotated

import typer
from mailproxy.accounts import AccountFields, EndpointFields
from mailproxy.v1 import account_pb2

from mailproxy_server.cli import options, output
from mailproxy_server.cli.account_show import print_account
from mailproxy_server.cli.connection import connected


class AuthName(StrEnum):
    """How requests are authenticated."""

    none = "none"
    bearer = "bearer"
    basic = "basic"
    header = "header"


AccountId = Annotated[str, typer.Argument(help="The account's id.")]
Name = Annotated[str, typer.Argument(help="What attachments call it.")]
Url = Annotated[str, typer.Option(help="Where it takes POST.")]
Auth = Annotated[AuthName, typer.Option(help="How requests are authenticated.")]
Username = Annotated[str, typer.Option(help="For basic.")]
HeaderName = Annotated[str, typer.Option(help="For header, as X-Api-Key.")]
SecretFile = Annotated[
    str | None,
    typer.Option(help="Read the token, password or header value from a file; - is stdin."),
]


def commands(app: typer.Typer) -> None:
    """Add the group of this file to the CLI."""
    group = typer.Typer(help="Services that attachments come from.", no_args_is_help=True)
    group.command("set", epilog=options.EXIT_CODES)(set_)
    group.command(epilog=options.EXIT_CODES)(remove)
    app.add_typer(group, name="endpoint")


def set_(
    account_id: AccountId,
    name: Name,
    url: Url,
    auth: Auth = AuthName.none,
    username: Username = "",
    header_name: HeaderName = "",
    secret_file: SecretFile = None,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Give an account an endpoint, or change one; without a secret it keeps the one it has."""
    new = EndpointFields(name=name, url=url, auth=auth, username=username, header_name=header_name)
    if secret_file:
        new["secret"] = options.read(secret_file, "--secret-file").rstrip("\r\n")
    with connected("endpoint set", target, token_file) as client:
        current = client.get_account(account_id)
        fields = AccountFields(attachment_endpoints=[*_others(current, name), new])
        account = client.update_account(account_id, etag=current.etag, **fields)
    print_account(account, None, as_json)


def remove(
    account_id: AccountId,
    name: Name,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Take an endpoint from an account."""
    with connected("endpoint remove", target, token_file) as client:
        current = client.get_account(account_id)
        others = _others(current, name)
        if len(others) == len(current.attachment_endpoints):
            raise typer.BadParameter(f"the account has no endpoint {name}")
        fields = AccountFields(attachment_endpoints=others)
        account = client.update_account(account_id, etag=current.etag, **fields)
    print_account(account, None, as_json)


def _others(account: account_pb2.Account, name: str) -> list[EndpointFields]:
    return [
        EndpointFields(
            name=one.name,
            url=one.url,
            auth=output.name(account_pb2.EndpointAuth, one.auth, "ENDPOINT_AUTH_"),
            username=one.username,
            header_name=one.header_name,
        )
        for one in account.attachment_endpoints
        if one.name != name
    ]
