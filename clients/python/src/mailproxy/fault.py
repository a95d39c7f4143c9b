"""A field that the client itself finds at fault. Loads gRPC only when there is one.

`mailproxy.errors` names status codes of gRPC; who only writes to an outbox never needs them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailproxy.errors import InvalidRequestError


def invalid(field: str, description: str) -> "InvalidRequestError":
    """Give the exception for one field."""
    from mailproxy import errors

    return errors.invalid(field, description)
