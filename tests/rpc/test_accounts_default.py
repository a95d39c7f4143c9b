import asyncio

from mailproxy.v1 import account_pb2 as pb
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.vault import Vault
from mailproxy_server.mail.errors import CallerError

from tests.support.accounts import FIELDS, KEY, Desk, desk_on, engine_of, make_tenant


async def defaults(desk: Desk) -> list[str]:
    listed = await desk.servicer.ListAccounts(pb.ListAccountsRequest(), desk.call)
    return [account.account_id for account in listed.accounts if account.is_default]


async def test_the_first_account_becomes_the_default_and_setting_it_moves_it(
    database_url: str,
) -> None:
    async with desk_on(database_url) as desk:
        first = await desk.create("a")
        assert (await desk.get("")).account_id == "a"
        await desk.create("b")
        assert await defaults(desk) == ["a"]
        await desk.update("b", is_default=True)
        assert await defaults(desk) == ["b"]
        assert (await desk.get("a")).etag != first.etag
        await desk.create("c", is_default=True)
        assert await defaults(desk) == ["c"]


async def test_a_deleted_default_leaves_none_until_one_is_set(database_url: str) -> None:
    async with desk_on(database_url) as desk:
        await desk.create("a")
        await desk.create("b")
        await desk.manage(pb.ACCOUNT_ACTION_DELETE, pb.Account(account_id="a"))
        assert await defaults(desk) == []
        await desk.update("b", is_default=True)
        assert (await desk.get("")).account_id == "b"


async def test_changes_at_once_leave_exactly_one_default(database_url: str) -> None:
    async with desk_on(database_url) as desk:
        await asyncio.gather(*(desk.create(f"a{n}", is_default=True) for n in range(20)))
        await asyncio.gather(*(desk.update(f"a{n}", is_default=True) for n in range(20)))
        assert len(await defaults(desk)) == 1
        assert len(await desk.ids()) == 20


async def test_of_twenty_that_create_one_id_at_once_one_does(database_url: str) -> None:
    async with desk_on(database_url) as desk:
        made = await asyncio.gather(*(desk.create("a") for _ in range(20)), return_exceptions=True)
    errors = [one for one in made if isinstance(one, CallerError)]
    assert [error.reason for error in errors] == ["ACCOUNT_EXISTS"] * 19


async def test_tenants_do_not_see_each_others_accounts(database_url: str) -> None:
    async with engine_of(database_url) as engine:
        accounts = Accounts(engine, Vault(KEY))
        one, two = await make_tenant(engine, "one"), await make_tenant(engine, "two")
        await accounts.create(one, "a", FIELDS)
        await accounts.create(two, "a", FIELDS | {"host": "two.example"})
        assert (await accounts.get(one, "")).host == "relay.example"
        assert (await accounts.get(two, "")).host == "two.example"
        await accounts.delete(two, "a")
        assert await accounts.find(two, "a") is None
        assert await accounts.find(one, "a") is not None


async def test_pages_go_through_all_accounts_by_id(database_url: str) -> None:
    async with desk_on(database_url) as desk:
        for number in range(5):
            await desk.create(f"a{number}")
        pages, token = [], ""
        while True:
            request = pb.ListAccountsRequest(page_size=2, page_token=token)
            page = await desk.servicer.ListAccounts(request, desk.call)
            pages.append([account.account_id for account in page.accounts])
            token = page.next_page_token
            if not token:
                break
    assert pages == [["a0", "a1"], ["a2", "a3"], ["a4"]]
