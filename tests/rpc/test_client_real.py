import asyncio

import pytest
from mailproxy import errors
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.aio_reports import AsyncReports
from mailproxy.attachment import Attachment
from mailproxy.message import Message
from mailproxy.sync import MailProxyClient
from mailproxy_server.app import dispatch
from mailproxy_server.app import front as front_role
from mailproxy_server.app.ports import hold

from tests.support.fake_server import PLAIN, plain
from tests.support.relay import ScriptedRelay
from tests.support.served import ANYWHERE, TOKEN, Front, dispatching, front_on, role, settings_of


async def test_what_is_submitted_is_sent_and_waited_for(database_url: str) -> None:
    async with (
        ScriptedRelay() as relay,
        front_on(database_url) as front,
        dispatching(front),
        AsyncMailProxyClient(front.address, TOKEN) as client,
    ):
        await client.create_account("local", host="127.0.0.1", port=relay.port, tls="none")
        submission = await client.submit(
            from_address="Ann <a@x.test>",
            to=["b@y.test", "c@y.test"],
            subject="Żółć",
            text="Hello",
            attachments=[Attachment("a.txt", b"bytes")],
            labels={"k": "v"},
        )
        final = await submission.wait(timeout=20)
        assert {(each.recipient, each.event) for each in final} == {
            ("b@y.test", 2),
            ("c@y.test", 2),
        }
        read = await client.get_message(submission.message_id, include_attempts=True)
        assert read.attempts[0].exchanges[-1].reply.code == 250
        with MailProxyClient(front.address, TOKEN) as threaded:
            waited = await asyncio.to_thread(lambda: threaded.submit(**plain("r")).wait(timeout=20))
        assert [each.request_id for each in waited] == ["r"]
        assert len(relay.messages) == 2


async def test_coalesced_messages_get_the_same_errors_as_lone_ones(front: Front) -> None:
    bad = Message(from_address="a@x.test", to=["b@y.test", "x, a@b.test"], text="Hello")
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        alone = await asyncio.gather(client.submit(**bad), return_exceptions=True)
        among = await asyncio.gather(
            *(client.submit(**(bad if n == 3 else PLAIN)) for n in range(8)),
            return_exceptions=True,
        )
    assert [n for n, each in enumerate(among) if isinstance(each, Exception)] == [3]
    for found in (alone[0], among[3]):
        assert isinstance(found, errors.InvalidRequestError)
        assert found.field_violations[0].field == "email.composed.to[1].address"
        assert str(found).startswith("email.composed.to[1].address: ")


async def test_a_request_id_gives_one_message_and_no_other_content(front: Front) -> None:
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        found = await asyncio.gather(*(client.submit(**plain("order-17")) for _ in range(100)))
        assert len({each.message_id for each in found}) == 1
        assert sum(not each.replayed for each in found) == 1
        other: Message = {**plain("order-17"), "text": "Other"}
        with pytest.raises(errors.ConflictError) as caught:
            await client.submit(**other)
        assert caught.value.reason == "REQUEST_ID_REUSED"
        assert caught.value.metadata["message_id"] == found[0].message_id
        assert "text_body" in caught.value.metadata["differing_fields"]


async def test_reports_survive_a_restart_of_the_front(database_url: str) -> None:
    held, listen = hold(ANYWHERE, "MAILPROXY_GRPC_LISTEN")
    settings = settings_of(grpc_listen=listen)
    async with ScriptedRelay() as relay, AsyncMailProxyClient(str(listen), TOKEN) as client:
        async with role(front_role.run, settings, database_url):
            await client.create_account("local", host="127.0.0.1", port=relay.port, tls="none")
            reports = client.delivery_reports()
            reading = asyncio.create_task(_read(reports, 40))
            await client.submit_many([PLAIN] * 20)
        async with (
            role(dispatch.run, settings, database_url),
            role(front_role.run, settings, database_url),
        ):
            await client.submit_many([PLAIN] * 20)
            async with asyncio.timeout(30):
                assert await reading == list(range(1, 41))
            await reports.close()
    held.close()


async def test_reports_so_far_end_at_once_whatever_is_asked_for(front: Front) -> None:
    async with AsyncMailProxyClient(front.address, TOKEN) as client, asyncio.timeout(5):
        for start in ("earliest", "now"):
            found = client.delivery_reports(start, labels={"k": "v"}, follow=False)
            assert [each async for each in found] == []


@pytest.mark.parametrize(("token", "reason"), [(None, "TOKEN_MISSING"), ("x", "TOKEN_INVALID")])
async def test_a_client_without_the_right_token_is_told_so(
    front: Front, token: str | None, reason: str
) -> None:
    async with AsyncMailProxyClient(front.address, token) as client:
        with pytest.raises(errors.AuthenticationError) as caught:
            await client.submit(**PLAIN)
        assert caught.value.reason == reason
        with pytest.raises(errors.AuthenticationError):
            await anext(client.delivery_reports())


async def test_accounts_are_made_changed_read_and_deleted(front: Front) -> None:
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        made = await client.create_account(
            "ses", host="smtp.test", username="u", password="secret", tls="implicit"
        )
        assert (made.port, made.has_password, made.password) == (465, True, "")
        changed = await client.update_account("ses", ehlo_name="me.test", etag=made.etag)
        assert (changed.ehlo_name, changed.username) == ("me.test", "u")
        with pytest.raises(errors.ConflictError, match="etag"):
            await client.update_account("ses", ehlo_name="x.test", etag=made.etag)
        assert (await client.update_account("ses", ehlo_name="")).ehlo_name == ""
        assert [each.account_id for each in await client.list_accounts()] == ["demo", "ses"]
        assert (await client.get_account()).account_id == "demo"
        await client.delete_account("ses")
        with pytest.raises(errors.NotFoundError, match="demo"):
            await client.get_account("ses")


async def _read(reports: AsyncReports, count: int) -> list[int]:
    return [(await anext(reports)).offset for _ in range(count)]
