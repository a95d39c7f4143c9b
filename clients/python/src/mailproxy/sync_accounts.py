"""What `MailProxyClient` does to accounts. Twin: `aio_accounts`."""

from typing import Unpack

from mailproxy import accounts
from mailproxy.accounts import AccountFields
from mailproxy.sync_connection import SyncConnection
from mailproxy.v1 import account_pb2


class Accounts:
    """This part of the client."""

    _connection: SyncConnection

    def create_account(
        self, account_id: str, *, timeout: float | None = None, **fields: Unpack[AccountFields]
    ) -> account_pb2.Account:
        """Create an account."""
        return self._manage(accounts.creation(account_id, fields), timeout)

    def update_account(
        self,
        account_id: str,
        *,
        allow_missing: bool = False,
        etag: str = "",
        timeout: float | None = None,
        **fields: Unpack[AccountFields],
    ) -> account_pb2.Account:
        """Change exactly the given fields; with `allow_missing`, create it if there is none."""
        request = accounts.change(account_id, fields, allow_missing=allow_missing, etag=etag)
        return self._manage(request, timeout)

    def delete_account(
        self, account_id: str, *, force: bool = False, etag: str = "", timeout: float | None = None
    ) -> account_pb2.Account:
        """Delete an account and give its last state; with `force`, fail what is queued for it."""
        return self._manage(accounts.deletion(account_id, force=force, etag=etag), timeout)

    def get_account(
        self, account_id: str = "", *, timeout: float | None = None
    ) -> account_pb2.Account:
        """Read an account, or the default one."""
        request = account_pb2.GetAccountRequest(account_id=account_id)
        response = self._connection.call(lambda s: s.accounts.GetAccount, request, timeout)
        return response.account

    def account_health(
        self, account_id: str = "", *, timeout: float | None = None
    ) -> account_pb2.AccountHealth:
        """Read how an account, or the default one, fares: pause, breaker, throttle, limits."""
        request = account_pb2.GetAccountRequest(account_id=account_id)
        response = self._connection.call(lambda s: s.accounts.GetAccount, request, timeout)
        return response.health

    def list_accounts(self, *, timeout: float | None = None) -> list[account_pb2.Account]:
        """Read all accounts, by account_id."""
        request = account_pb2.ListAccountsRequest()
        found: list[account_pb2.Account] = []
        while True:
            page = self._connection.call(lambda s: s.accounts.ListAccounts, request, timeout)
            found.extend(page.accounts)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def verify_account(
        self, account_id: str, *, timeout: float | None = 60.0
    ) -> account_pb2.VerifyAccountResponse:
        """Let the server connect to the account's relay, log in and hang up."""
        request = account_pb2.VerifyAccountRequest(account_id=account_id)
        return self._connection.call(lambda s: s.accounts.VerifyAccount, request, timeout)

    def _manage(
        self, request: account_pb2.ManageAccountRequest, timeout: float | None
    ) -> account_pb2.Account:
        response = self._connection.call(
            lambda s: s.accounts.ManageAccount, request, timeout, accounts.repeatable(request)
        )
        return response.account
