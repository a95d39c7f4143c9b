from collections.abc import AsyncIterator

import pytest
from mailproxy.v1 import account_pb2 as pb
from mailproxy_server.mail.errors import CallerError, InvalidFields

from tests.support.accounts import Desk, desk_on

UPDATE, DELETE, CREATE = (
    pb.ACCOUNT_ACTION_UPDATE,
    pb.ACCOUNT_ACTION_DELETE,
    pb.ACCOUNT_ACTION_CREATE,
)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with desk_on(database_url) as desk:
        yield desk


async def reason_of(awaitable: object) -> str:
    with pytest.raises(CallerError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.reason


async def test_a_new_account_has_its_defaults_and_never_shows_its_password(desk: Desk) -> None:
    made = await desk.create("a", username="u", password="s3cret")
    assert made == await desk.get("a")
    assert (made.port, made.tls, made.max_connections) == (587, pb.TLS_MODE_STARTTLS, 10)
    assert (made.max_recipients_per_transaction, made.idle_ttl.seconds) == (50, 300)
    assert made.has_password
    assert made.password == ""
    assert "s3cret" not in str(made)
    assert made.etag
    assert made.create_time == made.update_time


async def test_an_account_id_is_made_once(desk: Desk) -> None:
    await desk.create("a")
    assert await reason_of(desk.create("a")) == "ACCOUNT_EXISTS"


async def test_an_update_without_a_mask_changes_what_is_populated(desk: Desk) -> None:
    before = await desk.create("a", username="u", password="p", max_connections=7)
    after = await desk.update("a", host="other.example")
    assert after.host == "other.example"
    assert (after.username, after.has_password, after.max_connections) == ("u", True, 7)
    assert after.etag != before.etag


async def test_an_update_with_a_mask_can_empty_a_field(desk: Desk) -> None:
    await desk.create("a", username="u", password="p", max_connections=7)
    after = await desk.update("a", "password", "max_connections", host="ignored.example")
    assert (after.host, after.has_password, after.max_connections) == ("relay.example", False, 10)


async def test_an_update_of_everything_replaces_the_account(desk: Desk) -> None:
    await desk.create("a", username="u", password="p", max_connections=7)
    after = await desk.update("a", "*", host="h.example")
    assert (after.username, after.has_password, after.max_connections) == ("", False, 10)


async def test_an_update_that_changes_nothing_keeps_the_etag(desk: Desk) -> None:
    before = await desk.create("a")
    assert await desk.update("a") == before


async def test_credentials_cannot_come_into_the_clear_by_two_updates(desk: Desk) -> None:
    await desk.create("a", username="u", password="p")
    assert await reason_of(desk.update("a", tls=pb.TLS_MODE_NONE)) == "FIELD_INVALID"
    await desk.update("a", tls=pb.TLS_MODE_NONE, host="127.0.0.1")
    assert await reason_of(desk.update("a", host="relay.example")) == "FIELD_INVALID"
    assert (await desk.get("a")).host == "127.0.0.1"


async def test_a_port_that_is_reset_follows_the_mode_that_the_account_has(desk: Desk) -> None:
    await desk.create("a", tls=pb.TLS_MODE_IMPLICIT, port=4650)
    assert (await desk.update("a", "port")).port == 465


async def test_an_old_etag_is_refused_and_a_current_one_is_not(desk: Desk) -> None:
    old = (await desk.create("a")).etag
    current = (await desk.update("a", max_connections=2, etag=old)).etag
    assert await reason_of(desk.update("a", max_connections=3, etag=old)) == "ETAG_MISMATCH"
    gone = pb.Account(account_id="a", etag=old)
    assert await reason_of(desk.manage(DELETE, gone)) == "ETAG_MISMATCH"
    assert (await desk.update("a", max_connections=3, etag=current)).max_connections == 3


async def test_updating_a_missing_account_names_those_there_are_and_the_command(
    desk: Desk,
) -> None:
    await desk.create("demo")
    with pytest.raises(CallerError, match=r"known accounts: demo; .*`mailproxy account set x"):
        await desk.update("x", host="h.example")


async def test_allow_missing_creates(desk: Desk) -> None:
    account = pb.Account(account_id="a", host="h.example")
    first = await desk.manage(UPDATE, account, allow_missing=True)
    second = await desk.manage(UPDATE, account, allow_missing=True)
    assert (first.created, second.created) == (True, False)
    late = pb.Account(account_id="b", host="h.example", etag="r1")
    assert await reason_of(desk.manage(UPDATE, late, allow_missing=True)) == "ACCOUNT_NOT_FOUND"


async def test_validate_only_checks_everything_and_changes_nothing(desk: Desk) -> None:
    account = pb.Account(account_id="a", host="h.example")
    answer = await desk.manage(CREATE, account, validate_only=True)
    assert answer.account.host == "h.example"
    assert await desk.ids() == []
    made = await desk.create("a")
    assert await reason_of(desk.manage(CREATE, account, validate_only=True)) == "ACCOUNT_EXISTS"
    await desk.manage(UPDATE, account, validate_only=True)
    await desk.manage(DELETE, account, validate_only=True)
    assert await desk.get("a") == made


async def test_an_action_that_is_not_known_is_refused(desk: Desk) -> None:
    assert await reason_of(desk.manage(0, pb.Account(account_id="a"))) == "UNKNOWN_ACTION"  # type: ignore[arg-type]
    assert await reason_of(desk.manage(9, pb.Account(account_id="a"))) == "UNKNOWN_ACTION"  # type: ignore[arg-type]


async def test_a_deleted_account_is_gone_and_its_id_can_be_used_again(desk: Desk) -> None:
    made = await desk.create("a", username="u", password="p")
    answer = await desk.manage(DELETE, pb.Account(account_id="a"))
    assert answer.account == made
    assert await reason_of(desk.get("a")) == "ACCOUNT_NOT_FOUND"
    assert await reason_of(desk.manage(DELETE, pb.Account(account_id="a"))) == "ACCOUNT_NOT_FOUND"
    again = await desk.create("a")
    assert not again.has_password
    assert again.etag != made.etag


async def test_an_account_with_queued_deliveries_is_deleted_by_force_only(desk: Desk) -> None:
    await desk.create("a")
    desk.queued = 3
    with pytest.raises(CallerError, match="3 deliveries") as caught:
        await desk.manage(DELETE, pb.Account(account_id="a"))
    assert (caught.value.reason, caught.value.metadata) == ("ACCOUNT_HAS_QUEUED", {"queued": "3"})
    await desk.manage(DELETE, pb.Account(account_id="a"), force=True)
    assert await desk.ids() == []


async def test_delete_never_takes_the_default_for_an_id_that_is_missing(desk: Desk) -> None:
    await desk.create("a")
    with pytest.raises(InvalidFields, match=r"account\.account_id"):
        await desk.manage(DELETE, pb.Account())
    assert await desk.ids() == ["a"]
