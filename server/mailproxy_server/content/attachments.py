"""Admission of attachments: what may be named, and in which one form it is stored.

What is in the request is stored as `content`. All else is external: it keeps its source and its
digests, and is fetched before the first attempt.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from mailproxy.v1 import message_pb2

from mailproxy_server.content import media, text, vetting
from mailproxy_server.content.parameters import as_json
from mailproxy_server.content.violations import Violations

ATTACHMENT_LIMIT: Final = 100
FILENAME_LIMIT: Final = 255

PARAMETERS_LIMIT: Final = 16 * 1024
"""Bytes of an endpoint's parameters as JSON."""

_ENDPOINT = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,62}\Z")
_MARKER = re.compile(r"_?\{(MD5|SHA256):([^{}]*)\}", re.IGNORECASE)
_DIGITS: Final = {"md5": 32, "sha256": 64}
_HEX = re.compile(r"[0-9a-f]+\Z")
_BLOB = "sha256:"

Attachment = message_pb2.Attachment


def check(files: Sequence[Attachment], violations: Violations) -> None:
    """Note what is wrong with the attachments, and put them into the form they are stored in."""
    if len(files) > ATTACHMENT_LIMIT:
        violations.add("composed.attachments", f"{len(files)} files; at most {ATTACHMENT_LIMIT}")
        return
    ids: set[str] = set()
    for number, file in enumerate(files):
        path = f"composed.attachments[{number}]"
        if "{" in file.filename:
            _take_markers(file, path, violations)
        if file.filename:
            _check_name(file, path, violations)
        elif not file.content_id:
            violations.add(f"{path}.filename", "is required, unless content_id is given")
        if file.media_type and (flaw := media.type_flaw(file.media_type)):
            violations.add(f"{path}.media_type", flaw)
        if file.content_id and (flaw := media.content_id_flaw(file.content_id)):
            violations.add(f"{path}.content_id", flaw)
        elif file.content_id in ids:
            violations.add(f"{path}.content_id", "is another attachment's too; each needs its own")
        if file.content_id:
            ids.add(file.content_id)
        _check_digests(file, path, violations)
        _check_source(file, path, violations)


def is_external(file: Attachment) -> bool:
    """Whether an admitted attachment's bytes are elsewhere."""
    return file.WhichOneof("source") != "content"


def external(content: message_pb2.ComposedContent) -> list[Attachment]:
    """Give the attachments of an admitted content whose bytes are elsewhere, in their order."""
    return [file for file in content.attachments if is_external(file)]


def named_blob(file: Attachment) -> bytes | None:
    """Give the SHA-256 of an upload that an admitted attachment names, else None."""
    if file.WhichOneof("source") != "blob":
        return None
    return bytes.fromhex(file.blob.removeprefix(_BLOB))


def blob_name(sha256: bytes) -> str:
    """Give the content address of a digest."""
    return f"{_BLOB}{sha256.hex()}"


def _take_markers(file: Attachment, path: str, violations: Violations) -> None:
    """Move the digests that the name carries to their fields."""
    for kind, digits in _MARKER.findall(file.filename):
        field = kind.lower()
        given = getattr(file, field)
        if given and given.lower() != digits.lower():
            violations.add(f"{path}.{field}", "is another digest than the file name carries")
        setattr(file, field, digits)
    file.filename = _MARKER.sub("", file.filename)


def _check_name(file: Attachment, path: str, violations: Violations) -> None:
    if len(file.filename) > FILENAME_LIMIT:
        words = f"is {len(file.filename):,} characters long; at most {FILENAME_LIMIT:,}"
        violations.add(f"{path}.filename", words)
    elif flaw := text.flaw(file.filename):
        violations.add(f"{path}.filename", flaw)


def _check_digests(file: Attachment, path: str, violations: Violations) -> None:
    for field, digits in _DIGITS.items():
        given = getattr(file, field)
        if not given:
            continue
        lower = given.lower()
        if len(lower) != digits or not _HEX.match(lower):
            violations.add(f"{path}.{field}", f"is not {digits} hexadecimal digits")
        elif lower != given:
            setattr(file, field, lower)


def _check_source(file: Attachment, path: str, violations: Violations) -> None:
    match file.WhichOneof("source"):
        case "content":
            _check_content(file, path, violations)
        case "base64":
            try:
                file.content = base64.b64decode("".join(file.base64.split()), validate=True)
            except (binascii.Error, ValueError):
                violations.add(f"{path}.base64", "is not base64 (RFC 4648, section 4, padded)")
            else:
                _check_content(file, path, violations)
        case "http_url":
            try:
                vetting.vet_url(file.http_url)
            except vetting.Refused as refused:
                violations.add(f"{path}.http_url", str(refused))
        case "filesystem":
            if flaw := vetting.path_flaw(file.filesystem):
                violations.add(f"{path}.filesystem", flaw)
        case "endpoint":
            _check_endpoint(file.endpoint, f"{path}.endpoint", violations)
        case "blob":
            _check_blob(file, path, violations)
        case _ if not (file.sha256 or file.md5):
            violations.add(f"{path}.content", "is required: the bytes of the file, or their source")


def _check_content(file: Attachment, path: str, violations: Violations) -> None:
    """Hold the digests, which are then of no further use, against the bytes."""
    for field in _DIGITS:
        given = getattr(file, field)
        if given and hashlib.new(field, file.content, usedforsecurity=False).hexdigest() != given:
            violations.add(f"{path}.{field}", "is not the digest of the bytes that were given")
        file.ClearField(field)  # type: ignore[arg-type]


def _check_endpoint(call: message_pb2.EndpointCall, path: str, violations: Violations) -> None:
    if not _ENDPOINT.match(call.name):
        violations.add(f"{path}.name", "is not the name of an endpoint of the account")
    try:
        octets = as_json(call.parameters)
    except ValueError as error:
        violations.add(f"{path}.parameters", str(error))
    else:
        if len(octets) > PARAMETERS_LIMIT:
            words = f"has {len(octets):,} bytes as JSON; at most {PARAMETERS_LIMIT:,}"
            violations.add(f"{path}.parameters", words)


def _check_blob(file: Attachment, path: str, violations: Violations) -> None:
    digits = file.blob.removeprefix(_BLOB).lower()
    if not file.blob.startswith(_BLOB) or len(digits) != 64 or not _HEX.match(digits):
        violations.add(f"{path}.blob", "is not what UploadAttachment gave: sha256:<64 digits>")
        return
    file.blob = _BLOB + digits
    if file.sha256 and file.sha256 != digits:
        violations.add(f"{path}.sha256", "is another digest than that of the blob")
