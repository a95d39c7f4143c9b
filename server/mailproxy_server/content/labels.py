"""Checks of what a caller hangs on an email for itself: labels and metadata."""

import re
from typing import Final

from mailproxy.v1 import message_pb2

from mailproxy_server.content.violations import Violations

LABEL_LIMIT: Final = 16
LABEL_VALUE_LIMIT: Final = 128
METADATA_LIMIT: Final = 4096
"""Octets of all keys and values of an email's metadata."""

_KEY = re.compile(r"[a-z0-9_.\-]{1,63}\Z")


def check(email: message_pb2.Email, violations: Violations) -> None:
    """Note what is past its limit. NUL is refused: PostgreSQL's text cannot hold it."""
    if email.labels:
        _check_labels(email, violations)
    if email.metadata:
        _check_metadata(email, violations)


def _check_labels(email: message_pb2.Email, violations: Violations) -> None:
    if len(email.labels) > LABEL_LIMIT:
        violations.add("labels", f"{len(email.labels)} labels; at most {LABEL_LIMIT}")
        return
    for key, value in sorted(email.labels.items()):
        if not _KEY.match(key):
            violations.add("labels", f"{key[:80]!r} is not a key: 1 to 63 of [a-z0-9_.-]")
        elif len(value) > LABEL_VALUE_LIMIT:
            length = f"is {len(value):,} characters long; at most {LABEL_VALUE_LIMIT}"
            violations.add(f'labels["{key}"]', length)
        elif "\0" in value:
            violations.add(f'labels["{key}"]', "holds a NUL (U+0000); remove it")


def _check_metadata(email: message_pb2.Email, violations: Violations) -> None:
    size, nul = 0, False
    for key, value in email.metadata.items():
        size += len(key.encode()) + len(value.encode())
        nul = nul or "\0" in key or "\0" in value
    if size > METADATA_LIMIT:
        violations.add("metadata", f"is {size:,} octets in all; at most {METADATA_LIMIT:,}")
    if nul:
        violations.add("metadata", "holds a NUL (U+0000); encode binary values, as in base64")
