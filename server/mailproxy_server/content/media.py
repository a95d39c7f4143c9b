"""Media types and parameters of parts (RFC 2045, 2183, 2231): which are allowed, how they read.

Types are guessed from a table of our own, so that every machine composes the same bytes.
"""

import re
from typing import Final

from mailproxy_server.content import words

DEFAULT_TYPE: Final = "application/octet-stream"

_TYPE_LIMIT: Final = 255
_RESTRICTED = r"[A-Za-z0-9!#$&^_.+\-]{1,127}"
_TYPE = re.compile(
    rf"({_RESTRICTED})/{_RESTRICTED}"
    rf'((?: ?; ?{_RESTRICTED}=(?:{_RESTRICTED}|"[ !#-<>-\[\]-~]{{0,127}}"))*)\Z'
)
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,255}\Z")
_PARAMETER_NAME = re.compile(r"; ?([^=]+)=")
_OWN_PARAMETERS = frozenset({"name", "boundary"})
_PLAIN_VALUE = re.compile(r"[ !#-<>-\[\]-~]{1,255}\Z")
_ATTRIBUTE_CHAR = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`{|}~"
)
_SECTION: Final = 56

_BY_SUFFIX: Final = {
    suffix: media_type
    for media_type, suffixes in {
        "application/gzip": "gz tgz",
        "application/json": "json",
        "application/msword": "doc",
        "application/pdf": "pdf",
        "application/pgp-signature": "sig asc",
        "application/pkcs7-mime": "p7m",
        "application/pkcs7-signature": "p7s",
        "application/rtf": "rtf",
        "application/vnd.ms-excel": "xls",
        "application/vnd.ms-powerpoint": "ppt",
        "application/vnd.oasis.opendocument.presentation": "odp",
        "application/vnd.oasis.opendocument.spreadsheet": "ods",
        "application/vnd.oasis.opendocument.text": "odt",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/x-7z-compressed": "7z",
        "application/x-tar": "tar",
        "application/xml": "xml",
        "application/zip": "zip",
        "audio/mp4": "m4a",
        "audio/mpeg": "mp3",
        "audio/ogg": "ogg",
        "audio/wav": "wav",
        "image/bmp": "bmp",
        "image/gif": "gif",
        "image/jpeg": "jpg jpeg",
        "image/png": "png",
        "image/svg+xml": "svg",
        "image/tiff": "tif tiff",
        "image/webp": "webp",
        "message/rfc822": "eml",
        "text/calendar": "ics",
        "text/css": "css",
        "text/csv": "csv",
        "text/html": "html htm",
        "text/markdown": "md",
        "text/plain": "txt log",
        "text/vcard": "vcf",
        "video/mp4": "mp4",
        "video/webm": "webm",
    }.items()
    for suffix in suffixes.split()
}


def type_flaw(media_type: str) -> str | None:
    """Give what is wrong with a caller's media type, or None."""
    match = _TYPE.match(media_type) if len(media_type) <= _TYPE_LIMIT else None
    if not match:
        return 'is not a media type; write it as "application/pdf", or leave it empty'
    if match[1].lower() == "multipart":
        return "is of several parts; give each file as an attachment of its own"
    names = {name.lower() for name in _PARAMETER_NAME.findall(match[2])}
    if not names.isdisjoint(_OWN_PARAMETERS):
        return "has a parameter that the proxy sets itself (name, boundary); use filename"
    return None


def content_id_flaw(content_id: str) -> str | None:
    """Give what is wrong with a caller's content id (RFC 2392), or None."""
    if _CONTENT_ID.match(content_id) and "=?" not in content_id:
        return None
    return (
        'is not a content id; write it as "logo": printable ASCII without spaces and angle '
        "brackets, at most 255 characters"
    )


def guess(filename: str) -> str:
    """Give the media type that a file name suggests."""
    _, dot, suffix = filename.rpartition(".")
    return _BY_SUFFIX.get(suffix.lower(), DEFAULT_TYPE) if dot else DEFAULT_TYPE


def parameter(name: str, value: str) -> list[str]:
    """Give `name=value` as header pieces: quoted if plain, else as RFC 2231 says."""
    if _is_plain(value):
        return [f' {name}="{value}"']
    whole = "".join(map(_percent, value))
    if len(whole) <= _SECTION:
        return [f" {name}*=utf-8''{whole}"]
    sections = [""]
    for character in map(_percent, value):
        if len(sections[-1]) + len(character) > _SECTION:
            sections.append("")
        sections[-1] += character
    pieces = [f" {name}*{i}*={section};" for i, section in enumerate(sections)]
    pieces[0] = pieces[0].replace("=", "=utf-8''", 1)
    pieces[-1] = pieces[-1][:-1]
    return pieces


def old_parameter(name: str, value: str) -> list[str]:
    """Give `name="value"` with encoded-words inside, which clients without RFC 2231 read."""
    if _is_plain(value):
        return [f' {name}="{value}"']
    encoded = words.encode(value, words.WORD_LIMIT - len(name) - 3, words.WORD_LIMIT - 1)
    pieces = [f" {word}" for word in encoded]
    pieces[0] = f' {name}="{encoded[0]}'
    pieces[-1] += '"'
    return pieces


def _is_plain(value: str) -> bool:
    return _PLAIN_VALUE.match(value) is not None and value.strip() == value and "  " not in value


def _percent(character: str) -> str:
    return "".join(
        chr(octet) if octet in _ATTRIBUTE_CHAR else f"%{octet:02X}" for octet in character.encode()
    )
