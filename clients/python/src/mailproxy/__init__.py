"""Client of gRPC Mail Proxy: submit an email in one call, follow its delivery reports.

What is exported is loaded when it is first used (PEP 562): the server imports
`mailproxy.v1` and must not load the client with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mailproxy.accounts import AccountFields
    from mailproxy.aio import AsyncMailProxyClient
    from mailproxy.attachment import Attachment
    from mailproxy.errors import (
        AuthenticationError,
        ConflictError,
        CursorError,
        DeadlineError,
        FieldViolation,
        InvalidRequestError,
        MailProxyError,
        NotFoundError,
        OverloadedError,
        RefusedError,
        ServerError,
        UnavailableError,
    )
    from mailproxy.message import Message
    from mailproxy.submission import AsyncSubmission, Submission
    from mailproxy.sync import MailProxyClient

__all__ = [
    "AccountFields",
    "AsyncMailProxyClient",
    "AsyncSubmission",
    "Attachment",
    "AuthenticationError",
    "ConflictError",
    "CursorError",
    "DeadlineError",
    "FieldViolation",
    "InvalidRequestError",
    "MailProxyClient",
    "MailProxyError",
    "Message",
    "NotFoundError",
    "OverloadedError",
    "RefusedError",
    "ServerError",
    "Submission",
    "UnavailableError",
]

_ELSEWHERE = {
    "AccountFields": "accounts",
    "AsyncMailProxyClient": "aio",
    "AsyncSubmission": "submission",
    "Attachment": "attachment",
    "MailProxyClient": "sync",
    "Message": "message",
    "Submission": "submission",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
