"""Which exceptions are whose fault: takes what a servicer raised for an error of the contract.

Errors meant for the caller pass as they are; what the database or this machine cannot do just now
is `Unavailable`; all else is a bug of ours, of which the caller learns an id and the log the rest.
"""

import secrets
from collections.abc import Callable

from mailproxy_server.mail.errors import MailProxyError, Unavailable
from mailproxy_server.queue.unavailable import is_unavailable, unavailable


class InternalError(MailProxyError):
    """A bug of ours; `metadata["id"]` finds it in the log."""


class Faults:
    """Translates exceptions; `on_bug(id, error)` is told of each bug."""

    def __init__(self, on_bug: Callable[[str, BaseException], None]):
        self._on_bug = on_bug

    def translate(self, error: BaseException) -> MailProxyError:
        """Give the error of the contract that `error` comes to."""
        if isinstance(error, MailProxyError):
            return error
        if is_unavailable(error):
            return unavailable(error)
        if isinstance(error, MemoryError):
            return Unavailable(
                "OUT_OF_MEMORY",
                "this server is short of memory; send the call again later, with the same "
                "request_id",
                retry_after=5.0,
            )
        bug = secrets.token_hex(8)
        self._on_bug(bug, error)
        return InternalError(
            "INTERNAL", f"a fault of the server's own; its log has it under {bug}", {"id": bug}
        )
