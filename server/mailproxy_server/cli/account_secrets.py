"""The credentials that `mailproxy account set` takes. No secret is an argument: everybody on a
machine sees its command lines. It comes from a prompt, a file, or stdin."""

from typing import Annotated

import typer

from mailproxy_server.cli import options
from mailproxy_server.cli.joining import Fields, given

_LOGIN, _OAUTH = "Login", "Login by OAuth (XOAUTH2)"
File = str | None


def password(
    username: Annotated[
        str | None, typer.Option(help="For AUTH; '' for none.", rich_help_panel=_LOGIN)
    ] = None,
    ask_password: Annotated[
        bool, typer.Option("--password", help="Ask for the password.", rich_help_panel=_LOGIN)
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read it from stdin.", rich_help_panel=_LOGIN)
    ] = False,
    password_file: Annotated[
        File, typer.Option(help="Read it from a file; - is stdin.", rich_help_panel=_LOGIN)
    ] = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Have none.", rich_help_panel=_LOGIN)
    ] = False,
) -> Fields:
    """Give user and password."""
    if sum((ask_password, password_stdin, password_file is not None, no_password)) > 1:
        raise typer.BadParameter(
            "give one of --password, --password-stdin, --password-file and --no-password"
        )
    secret = "" if no_password else _read(password_stdin, password_file, "--password")
    if ask_password:
        secret = str(typer.prompt("Password", hide_input=True))
    return given(username=username, password=secret)


def oauth(
    oauth_token_url: Annotated[
        str | None, typer.Option(help="The token endpoint.", rich_help_panel=_OAUTH)
    ] = None,
    oauth_client_id: Annotated[
        str | None, typer.Option(help="The application's id.", rich_help_panel=_OAUTH)
    ] = None,
    oauth_scope: Annotated[
        str | None, typer.Option(help="What the token is for.", rich_help_panel=_OAUTH)
    ] = None,
    oauth_secret_stdin: Annotated[
        bool,
        typer.Option(
            "--oauth-secret-stdin",
            help="Read the application's secret from stdin.",
            rich_help_panel=_OAUTH,
        ),
    ] = False,
    oauth_secret_file: Annotated[
        File, typer.Option(help="Read it from a file; - is stdin.", rich_help_panel=_OAUTH)
    ] = None,
    oauth_refresh_token_file: Annotated[
        File,
        typer.Option(help="Read a refresh token from a file; - is stdin.", rich_help_panel=_OAUTH),
    ] = None,
    no_oauth: Annotated[
        bool, typer.Option("--no-oauth", help="Have none.", rich_help_panel=_OAUTH)
    ] = False,
) -> Fields:
    """Give what is wanted of the grant; None for no grant at all."""
    wanted = given(
        token_url=oauth_token_url,
        client_id=oauth_client_id,
        scope=oauth_scope,
        client_secret=_read(oauth_secret_stdin, oauth_secret_file, "--oauth-secret"),
        refresh_token=_read(False, oauth_refresh_token_file, "--oauth-refresh-token"),
    )
    if wanted and no_oauth:
        raise typer.BadParameter("give --no-oauth alone, not with another --oauth option")
    return {"oauth": None} if no_oauth else {"oauth": wanted} if wanted else {}


def _read(stdin: bool, path: str | None, option: str) -> str | None:
    if stdin and path is not None:
        raise typer.BadParameter(f"give {option}-stdin or {option}-file, not both")
    if not stdin and path is None:
        return None
    secret = options.read("-" if stdin or path is None else path, f"{option}-file").rstrip("\r\n")
    if not secret:  # as when two options want stdin, and the first one took all of it
        raise typer.BadParameter("holds nothing", param_hint=f"{option}-file")
    return secret
