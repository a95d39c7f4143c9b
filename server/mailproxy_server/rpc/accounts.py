"""AccountService: makes, changes, deletes, reads and tries the accounts of a tenant."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from mailproxy.v1 import account_pb2 as pb

from mailproxy_server.accounts.account import Account, Secrets
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.vault import VaultError
from mailproxy_server.mail.errors import CallerError, invalid
from mailproxy_server.rpc.account_rules import RULES
from mailproxy_server.rpc.account_whole import checked_id, columns_of, completed, to_update
from mailproxy_server.rpc.account_words import to_wire, unreadable, verified
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.paging import next_token, page_size, start_after
from mailproxy_server.rpc.selecting import check_text
from mailproxy_server.smtp.verify import Verified

PAGE = 100
"""Accounts on a page where none is asked for."""

PAGE_MOST = 1000

Verify = Callable[[Account, Secrets], Awaitable[Verified]]
"""Connects to an account's relay with these secrets, and hangs up."""

HasQueued = Callable[[UUID, str], Awaitable[int]]
"""Counts the deliveries of an account that are still to do."""

Health = Callable[[UUID, Account], Awaitable[pb.AccountHealth]]
"""Reads how an account of this tenant fares."""


class AccountsServicer:
    """The servicer. `changed(tenant_id)` is told of each change that was made here; without
    `health` nothing is said of how accounts fare."""

    def __init__(
        self,
        accounts: Accounts,
        verify: Verify,
        has_queued: HasQueued,
        changed: Callable[[UUID], None] = lambda tenant_id: None,
        health: Health | None = None,
    ):
        self._accounts = accounts
        self._verify = verify
        self._has_queued = has_queued
        self._changed = changed
        self._health = health
        self._actions = {
            pb.ACCOUNT_ACTION_CREATE: self._create,
            pb.ACCOUNT_ACTION_UPDATE: self._update,
            pb.ACCOUNT_ACTION_DELETE: self._delete,
        }

    async def ManageAccount(
        self, request: pb.ManageAccountRequest, call: Call
    ) -> pb.ManageAccountResponse:
        """Create, update or delete one account."""
        act = self._actions.get(request.action)
        if act is None:
            raise CallerError(
                "UNKNOWN_ACTION",
                f"action {request.action} is not one of CREATE (1), UPDATE (2), DELETE (3)",
            )
        checked_id(request.account)
        account, created = await act(request, call.tenant_id)
        if not request.validate_only:
            self._changed(call.tenant_id)
        return pb.ManageAccountResponse(account=to_wire(account), created=created)

    async def VerifyAccount(
        self, request: pb.VerifyAccountRequest, call: Call
    ) -> pb.VerifyAccountResponse:
        """Connect to the account's relay and say what came of it."""
        check_text(request.account_id, "account_id")
        try:
            found = await self._accounts.credentials(call.tenant_id, request.account_id)
        except VaultError as error:
            return unreadable(str(error))
        if found is None:
            raise await self._accounts.missing(call.tenant_id, request.account_id)
        return verified(found[0], await self._verify(*found))

    async def GetAccount(self, request: pb.GetAccountRequest, call: Call) -> pb.GetAccountResponse:
        """Read one account, and how it fares."""
        check_text(request.account_id, "account_id")
        account = await self._accounts.get(call.tenant_id, request.account_id)
        health = await self._health(call.tenant_id, account) if self._health else None
        return pb.GetAccountResponse(account=to_wire(account), health=health)

    async def ListAccounts(
        self, request: pb.ListAccountsRequest, call: Call
    ) -> pb.ListAccountsResponse:
        """List the tenant's accounts."""
        scope = f"accounts of {call.tenant_id}"
        size = page_size(request.page_size, PAGE, PAGE_MOST)
        after = start_after(scope, request.page_token)
        page = await self._accounts.list(call.tenant_id, after, size + 1)
        token = next_token(scope, page[size - 1].account_id) if len(page) > size else ""
        return pb.ListAccountsResponse(
            accounts=[to_wire(account) for account in page[:size]], next_page_token=token
        )

    async def _create(
        self, request: pb.ManageAccountRequest, tenant_id: UUID
    ) -> tuple[Account, bool]:
        if request.update_mask.paths:
            raise invalid("update_mask", "only for UPDATE")
        columns = completed(columns_of(request.account, RULES), None)
        account = await self._accounts.create(
            tenant_id,
            request.account.account_id,
            columns,
            validate_only=request.validate_only,
        )
        return account, True

    async def _update(
        self, request: pb.ManageAccountRequest, tenant_id: UUID
    ) -> tuple[Account, bool]:
        asked = request.account
        fields = to_update(asked, request.update_mask.paths)
        columns = columns_of(asked, fields)
        may_create = request.allow_missing and not asked.etag
        if may_create and await self._accounts.find(tenant_id, asked.account_id) is None:
            request.update_mask.Clear()
            return await self._create(request, tenant_id)
        account = await self._accounts.update(
            tenant_id,
            asked.account_id,
            lambda current: completed(columns, current),
            asked.etag,
            validate_only=request.validate_only,
        )
        return account, False

    async def _delete(
        self, request: pb.ManageAccountRequest, tenant_id: UUID
    ) -> tuple[Account, bool]:
        account_id = request.account.account_id
        if not request.force:
            await self._accounts.get(tenant_id, account_id)
            queued = await self._has_queued(tenant_id, account_id)
            if queued:
                raise CallerError(
                    "ACCOUNT_HAS_QUEUED",
                    f"{queued} deliveries of {account_id} are queued; wait for them, or delete "
                    "with force, and they fail",
                    {"queued": str(queued)},
                )
        account = await self._accounts.delete(
            tenant_id, account_id, request.account.etag, validate_only=request.validate_only
        )
        return account, False
