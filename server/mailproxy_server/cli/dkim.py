"""`mailproxy dkim`: keys that sign an account's messages, and what DNS has to say of them."""

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mailproxy.accounts import AccountFields, DkimKeyFields
from mailproxy.v1 import account_pb2

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import connected

RSA_BITS = 2048

AccountId = Annotated[str, typer.Argument(help="The account's id.")]
MaybeId = Annotated[str, typer.Argument(help="The account's id; without it the default one.")]
Domain = Annotated[str, typer.Option(help="The domain that signs: that of From, or above it.")]
Selector = Annotated[str, typer.Option(help="Which of the domain's keys, as s1.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="PEM of an RSA or Ed25519 key. Without it a new one is made.", exists=True),
]
Ed25519 = Annotated[bool, typer.Option("--ed25519", help="Make an Ed25519 key, not an RSA one.")]


def commands(app: typer.Typer) -> None:
    """Add the group of this file to the CLI."""
    group = typer.Typer(help="Sign what an account sends (DKIM).", no_args_is_help=True)
    for command in (add, show, remove):
        group.command(epilog=options.EXIT_CODES)(command)
    app.add_typer(group, name="dkim")


def add(
    account_id: AccountId,
    domain: Domain,
    selector: Selector = "mailproxy",
    key_file: KeyFile = None,
    ed25519: Ed25519 = False,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Give an account a key, new or from a file; print the DNS record that publishes it.

    Publish it before you add the key: receivers may refuse a signature that they cannot verify.
    """
    if key_file and ed25519:
        raise typer.BadParameter("is for a new key; a file says itself what it holds")
    pem = key_file.read_text() if key_file else _made(ed25519)
    new = DkimKeyFields(domain=domain, selector=selector, private_key=pem)
    with connected("dkim add", target, token_file) as client:
        current = client.get_account(account_id)
        kept = [key for key in _kept(current) if not _same(key, domain, selector)]
        fields = AccountFields(dkim_keys=[*kept, new])
        account = client.update_account(account_id, etag=current.etag, **fields)
    _print([key for key in account.dkim_keys if key.selector == selector.lower()], as_json)


def show(
    account_id: MaybeId = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Print the DNS records of an account's keys; private keys are never shown."""
    with connected("dkim show", target, token_file) as client:
        account = client.get_account(account_id)
    _print(list(account.dkim_keys), as_json)
    if not account.dkim_keys and not as_json:
        print(f"It has none. Try: mailproxy dkim add {account.account_id} --domain example.com")


def remove(
    account_id: AccountId,
    domain: Domain,
    selector: Selector = "mailproxy",
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Take a key from an account."""
    with connected("dkim remove", target, token_file) as client:
        current = client.get_account(account_id)
        kept = [key for key in _kept(current) if not _same(key, domain, selector)]
        if len(kept) == len(current.dkim_keys):
            raise typer.BadParameter(f"the account has no key {selector} of {domain}")
        fields = AccountFields(dkim_keys=kept)
        account = client.update_account(account_id, etag=current.etag, **fields)
    _print(list(account.dkim_keys), as_json)


def _made(ed25519: bool) -> str:
    key = Ed25519PrivateKey.generate() if ed25519 else generate_private_key(65537, RSA_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _kept(account: account_pb2.Account) -> list[DkimKeyFields]:
    return [DkimKeyFields(domain=key.domain, selector=key.selector) for key in account.dkim_keys]


def _same(key: DkimKeyFields, domain: str, selector: str) -> bool:
    return (key["domain"], key["selector"]) == (domain.lower(), selector.lower())


def _print(keys: list[account_pb2.DkimKey], as_json: bool) -> None:
    if as_json:
        output.print_json({"dkim_keys": [output.as_json(key) for key in keys]})
        return
    for key in keys:
        print(f"{key.dns_name}. IN TXT ( {_strings(key.dns_text)} )")


def _strings(text: str) -> str:
    """Give a text as strings of DNS, which hold 255 characters each (RFC 1035 section 3.3)."""
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))
