"""Where it is asked for, relays are judged as attachments' sources are; ordinarily they are not."""

import asyncio
import gc
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from mailproxy.v1 import account_pb2
from mailproxy_server.content.sources.resolver import dial
from mailproxy_server.content.vetting import Egress

from tests.support.certificates import certificates
from tests.support.relay import ScriptedRelay
from tests.support.served import front_on


@pytest.mark.parametrize(
    ("settings", "ok"),
    [
        ({}, True),
        ({"egress_vet_relays": True}, False),
        ({"egress_vet_relays": True, "egress_allow": ("127.0.0.1/32",)}, True),
        ({"egress_vet_relays": True, "egress_allow": ("127.0.0.2/32",)}, False),
    ],
)
async def test_a_relay_that_is_not_public(
    settings: dict[str, Any], ok: bool, database_url: str
) -> None:
    async with ScriptedRelay() as relay, front_on(database_url, **settings) as front:
        await front.first.make_account(relay.port)
        wanted = account_pb2.VerifyAccountRequest(account_id="demo")
        found = await front.first.call(front.first.accounts.VerifyAccount, wanted)
        assert found.ok == ok
        assert relay.opened == ok
        assert ok or "MAILPROXY_EGRESS_ALLOW" in str(found)


async def test_tls_is_still_with_the_host_that_was_named(database_url: str) -> None:
    settings: dict[str, Any] = {"egress_vet_relays": True, "egress_allow": ("localhost",)}
    tls = certificates("localhost")
    async with (
        ScriptedRelay(tls=tls.server) as relay,
        front_on(database_url, **settings) as front,
    ):
        account = account_pb2.Account(
            account_id="tls", host="localhost", port=relay.port, tls_ca_certificates=tls.authority
        )
        create = account_pb2.ManageAccountRequest(
            action=account_pb2.ACCOUNT_ACTION_CREATE, account=account
        )
        await front.first.call(front.first.accounts.ManageAccount, create)
        wanted = account_pb2.VerifyAccountRequest(account_id="tls")
        found = await front.first.call(front.first.accounts.VerifyAccount, wanted)
        assert found.ok, found
        assert found.tls_version.startswith("TLS")


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with ScriptedRelay() as relay:

        async def lookup(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.3", "127.0.0.1"]

        found = await dial("x.test", relay.port, Egress.of(["127.0.0.0/8"]), lookup)
        assert not isinstance(found, str)
        assert found.getpeername() == ("127.0.0.1", relay.port)
        found.close()
        with pytest.raises(ConnectionRefusedError):
            await dial("x.test", 1, Egress.of(["127.0.0.0/8"]), lookup)


async def test_a_connection_that_is_being_made_ends_with_who_waits_for_it() -> None:
    async def lookup(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    with ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):  # what it does not accept: the next one is not answered
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(deaf.getsockname())
        port = deaf.getsockname()[1]
        dialling = asyncio.create_task(dial("x.test", port, Egress.of(["127.0.0.0/8"]), lookup))
        await asyncio.wait([dialling], timeout=0.1)
        assert not dialling.done()
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        del dialling
        gc.collect()  # a socket that was left open is told of here
