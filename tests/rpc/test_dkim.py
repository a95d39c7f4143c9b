"""DKIM from ManageAccount to what the relay gets: every kind of message holds for dkimpy."""

from typing import Any

import grpc
import pytest
from mailproxy.v1 import account_pb2, message_pb2

from tests.rpc.test_attachments_sources import LOCAL, upload
from tests.support.calling import Caller
from tests.support.dkim_verifier import ED25519, RSA, verified
from tests.support.emails import composed, raw
from tests.support.origin import Origin
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on


def change(keys: list[dict[str, str]], *unsigned: str) -> account_pb2.ManageAccountRequest:
    wanted = account_pb2.ManageAccountRequest(action=account_pb2.ACCOUNT_ACTION_UPDATE)
    wanted.account.account_id = "demo"
    wanted.account.dkim_unsigned_headers.extend(unsigned)
    for key in keys:
        wanted.account.dkim_keys.add(**key)
    wanted.update_mask.paths.extend(["dkim_keys", "dkim_unsigned_headers"])
    return wanted


async def manage(caller: Caller, keys: list[dict[str, str]], *unsigned: str) -> Any:
    answer = await caller.call(caller.accounts.ManageAccount, change(keys, *unsigned))
    return answer.account


def records(account: account_pb2.Account) -> dict[str, str]:
    return {key.dns_name: key.dns_text for key in account.dkim_keys}


def key(selector: str, pem: str = "", domain: str = "example.com") -> dict[str, str]:
    return {"domain": domain, "selector": selector, "private_key": pem}


BOTH = [key("rsa1", RSA), key("ed1", ED25519)]


async def messages(front: Front, origin: Origin) -> list[message_pb2.Email]:
    uploaded = await upload(front.first, bytes(range(256)) * 4000)
    png = {"filename": "logo.png", "content": b"\x89PNG", "content_id": "logo", "inline": True}
    return [
        composed(text_body="plain\n\n\n"),
        composed(text_body="", html_body="<p>Grüße</p>"),
        composed(subject="Żółć " * 30, text_body="ü" * 3000 + " \n \n", html_body="<b>x</b>"),
        composed(attachments=[png, {"filename": "Überblick.bin", "content": bytes(1000)}]),
        composed(attachments=[{"filename": "up.bin", "blob": uploaded.blob}]),
        composed(attachments=[{"filename": "url", "http_url": origin.url("/a")}], text_body=""),
        composed(headers=[{"name": "List-Unsubscribe", "value": "<https://example.com/u?x=1>"}]),
        composed(from_address={"address": "a@news.example.com", "display_name": 'A, "b" ü'}),
        raw(b"From: a@example.com\r\nSubject: raw \r\n  folded\r\nX: y\r\n\r\nbody  \r\n\r\n\r\n"),
        raw(b"From: a@example.com\r\n\r\n" + "Grüße\r\n".encode() * 100),
        raw(b"From: a@example.com\r\nSubject: no body\r\n\r\n"),
    ]


async def test_every_kind_of_message_is_signed_by_both_keys(database_url: str) -> None:
    async with (
        Origin({"/a": b"fetched " * 5000}) as origin,
        ScriptedRelay() as relay,
        front_on(database_url) as front,
    ):
        await front.first.make_account(relay.port)
        account = await manage(front.first, BOTH)
        wanted = await messages(front, origin)
        async with dispatching(front, **LOCAL):
            for email in wanted:
                await front.first.submit(email)
            await relay.until(lambda: len(relay.messages) == len(wanted), "all came")
        for message in relay.messages:
            assert verified(message.octets, records(account)) == 2


async def test_only_a_domain_that_speaks_for_the_sender_signs(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        keys = [key("s1", ED25519), key("s1", ED25519, "other.test")]
        account = await manage(front.first, keys)
        async with dispatching(front):
            for sender, signatures in (
                ("a@example.com", 1),
                ("a@deep.other.test", 1),
                ("a@nobody.test", 0),
            ):
                await front.first.submit(composed(from_address={"address": sender}))
                await relay.until(lambda: relay.messages, "it came")
                assert verified(relay.messages.pop().octets, records(account)) == signatures


async def test_a_second_attempt_has_the_same_signature_and_a_preset_leaves_out(
    database_url: str,
) -> None:
    script = {"DOT": ["451 4.3.0 later", None]}
    async with ScriptedRelay(script) as relay, front_on(database_url) as front:
        retry = {"first_delay": {"seconds": 1}}
        await front.first.make_account(relay.port, retry=retry)
        account = await manage(front.first, BOTH, "Message-ID", "DATE")
        assert list(account.dkim_unsigned_headers) == ["message-id", "date"]
        async with dispatching(front):
            await front.first.submit(composed())
            await relay.until(lambda: len(relay.messages) == 2, "it came again")
        first, second = (message.octets for message in relay.messages)
        assert first == second
        date = first[first.index(b"\r\nDate:") + 2 :].partition(b"\r\n")[0]
        assert verified(first.replace(date, b"Date: Thu, 01 Jan 1970 00:00:00 +0000"),
                        records(account)) == 2  # fmt: skip


async def test_a_private_key_is_kept_and_never_shown(front: Front) -> None:
    made = await manage(front.first, BOTH)
    assert [one.private_key for one in made.dkim_keys] == ["", ""]
    assert [one.dns_name for one in made.dkim_keys] == [
        "rsa1._domainkey.example.com",
        "ed1._domainkey.example.com",
    ]
    again = await manage(front.first, [key("ed1"), key("RSA1", domain="EXAMPLE.com")])
    assert {one.dns_text for one in again.dkim_keys} == {one.dns_text for one in made.dkim_keys}
    with pytest.raises(grpc.aio.AioRpcError, match="none is kept for exactly this one"):
        await manage(front.first, [key("other")])
    rows = await front.link.fetchval("SELECT json_agg(a)::text FROM mailproxy.accounts a")
    for pem in (RSA, ED25519):
        body = pem.splitlines()[1][:40]
        assert body not in rows
        assert body not in str(again)


@pytest.mark.parametrize(
    ("keys", "unsigned", "field", "words"),
    [
        ([key("s1", "no key")], (), "dkim_keys[0].private_key", "PEM of a private key"),
        ([key("s 1", RSA)], (), "dkim_keys[0].selector", "letters, digits"),
        ([key("", RSA)], (), "dkim_keys[0].selector", "required"),
        ([key("s1", RSA, "not a domain")], (), "dkim_keys[0].domain", "required"),
        ([key("s1", RSA), key("S1", ED25519)], (), "dkim_keys[1].selector", "another key's"),
        ([key(f"s{n}", ED25519) for n in range(17)], (), "dkim_keys", "16 are allowed"),
        ([], ("From",), "dkim_unsigned_headers[0]", "always signed"),
        ([], ("a b",), "dkim_unsigned_headers[0]", "not the name"),
    ],
)
async def test_what_cannot_sign_is_refused(
    front: Front, keys: list[dict[str, str]], unsigned: tuple[str, ...], field: str, words: str
) -> None:
    wanted = change(keys, *unsigned)
    refusal = await front.first.refusal(front.first.accounts.ManageAccount, wanted)
    assert refusal.fields == (f"account.{field}",)
    assert words in refusal.message
