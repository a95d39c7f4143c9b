"""The settings of attachments: where they may come from, how large they may be, what is kept."""

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_KIB = 1024
_MIB = 1024 * _KIB
_GIB = 1024 * _MIB


def parse_roots(value: object) -> object:
    """Read folders that are separated by colons; raises ValueError."""
    if not isinstance(value, str):
        return value
    roots = tuple(Path(part) for part in value.split(":") if part)
    for root in roots:
        if not root.is_absolute() or root == Path("/") or ".." in root.parts:
            raise ValueError("must be absolute paths below /, separated by colons")
    return roots


def parse_allowed(value: object) -> object:
    """Read networks and host names that are separated by commas; raises ValueError."""
    if not isinstance(value, str):
        return value
    allowed = tuple(part.strip().lower() for part in value.split(",") if part.strip())
    for part in allowed:
        if "/" in part or part.replace(".", "").isdigit() or ":" in part:
            try:
                ipaddress.ip_network(part)
            except ValueError:
                raise ValueError(
                    f"{part!r} is neither a network, as 10.1.0.0/16, nor a host name"
                ) from None
    return allowed


Roots = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(parse_roots)]
Allowed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_allowed)]


class ContentSettings(BaseSettings):
    """Part of `Settings`."""

    model_config = SettingsConfigDict(use_attribute_docstrings=True)

    attachment_roots: Roots = ()
    """Folders, separated by colons, below which attachments may be files of the server. Unset:
    nowhere."""

    egress_allow: Allowed = ()
    """Networks and host names, separated by commas, that attachments may be fetched from although
    they are not public, as 10.1.0.0/16,files.internal. Unset: public addresses only."""

    egress_vet_relays: bool = False
    """Whether hosts of relays have to be public too, or be allowed by egress_allow: for servers
    whose tenants set up accounts themselves."""

    max_attachment_bytes: int = Field(default=25 * _MIB, ge=_KIB, le=4 * _GIB)
    """Bytes of the largest attachment that is fetched or uploaded, also after unpacking."""

    max_attachments_bytes: int = Field(default=50 * _MIB, ge=_KIB, le=16 * _GIB)
    """Bytes of all attachments of one message that are fetched or were uploaded, together."""

    fetch_concurrency: int = Field(default=8, ge=1, le=1000)
    """Attachments that one dispatcher fetches at once for one account from one origin."""

    fetch_connect_seconds: float = Field(default=10, ge=0.1, le=600)
    """Seconds until the source of an attachment must have accepted the connection."""

    fetch_read_seconds: float = Field(default=30, ge=0.1, le=3600)
    """Seconds that the source of an attachment may pause between two pieces."""

    fetch_total_seconds: float = Field(default=120, ge=0.1, le=86_400)
    """Seconds until an attachment must be here."""

    spool_memory_bytes: int = Field(default=64 * _KIB, ge=0, le=64 * _MIB)
    """Bytes of an attachment that are held in memory while it comes; what is larger goes through
    a temporary file."""

    blob_ttl_hours: float = Field(default=72, ge=1, le=87_600)
    """Hours that a fetched or uploaded file is kept after its last use; longer while a message
    that is not over needs it."""

    blob_total_bytes: int = Field(default=20 * _GIB, ge=_MIB, le=1024 * 1024 * _GIB)
    """Bytes of files that are kept in all; past it the oldest unused ones go first."""

    blob_memory_bytes: int = Field(default=50 * _MIB, ge=0, le=64 * _GIB)
    """Bytes of kept files that one dispatcher holds in memory for further messages."""
