"""The MIME tree of a composed message (RFC 2045 to 2047, 2387, 2392).

    mixed( related?( alternative?( text, html ) ... ), attachments )

in full: text and html make multipart/alternative; inline parts join the html in
multipart/related; everything else is attached in multipart/mixed. Boundaries come from a
seed and are never part of what they separate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count

from mailproxy_server.content import media, transfer
from mailproxy_server.content.headers import HeaderBlock
from mailproxy_server.content.segments import FileRef, Segment


@dataclass(frozen=True, slots=True)
class File:
    """An attachment or inline part; an empty `media_type` is guessed from the name. `content` is
    its octets, or a file that is kept elsewhere."""

    filename: str
    media_type: str
    content_id: str
    inline: bool
    content: Segment


@dataclass(frozen=True, slots=True)
class Part:
    """An entity: its Content-* fields, and the segments of its body.

    `plain` is true when the body is not encoded, so that it may hold any line.
    """

    block: HeaderBlock
    segments: list[Segment]
    plain: bool = False


def tree(text: str, html: str, files: Sequence[File], seed: str) -> Part:
    """Give the whole content as one part. One of the three is not empty."""
    inline = [file_part(f) for f in files if f.inline and html]
    attached = [file_part(f) for f in files if not (f.inline and html)]
    texts = [text_part("plain", text)] if text else []
    if html:
        texts.append(text_part("html", html))
    if len(texts) == 1 and not inline and not attached:
        return texts[0]
    boundary = _boundary(seed, [part for part in (*texts, *inline, *attached) if part.plain])
    if inline:
        texts[-1] = _multipart("related", [texts[-1], *inline], f"{boundary}r", ' type="text/html"')
    body = texts if len(texts) < 2 else [_multipart("alternative", texts, f"{boundary}a")]
    return _multipart("mixed", [*body, *attached], f"{boundary}m") if attached else body[0]


def text_part(subtype: str, text: str) -> Part:
    """Give a text/plain or text/html part."""
    encoding, octets = transfer.encode_text(text)
    block = HeaderBlock()
    block.pieces("Content-Type", [f" text/{subtype}; charset=utf-8"])
    block.pieces("Content-Transfer-Encoding", [f" {encoding}"])
    return Part(block, [octets], plain=encoding == "7bit")


def file_part(file: File) -> Part:
    """Give the part of a file; its octets arrive exactly as they are.

    A message/* part must not be encoded (RFC 2046 section 5.2.1): one that is not 7-bit, or is
    not at hand to see, goes as octets without a type of its own.
    """
    media_type, content = file.media_type or media.guess(file.filename), file.content
    plain = media_type.lower().startswith("message/")
    if plain and (isinstance(content, FileRef) or not transfer.seven_bit(content)):
        media_type, plain = media.DEFAULT_TYPE, False
    block = file_block(file, media_type)
    block.pieces("Content-Transfer-Encoding", [" 7bit" if plain else " base64"])
    if not (plain or isinstance(content, FileRef)):
        content = transfer.encode_binary(content)
    return Part(block, [content], plain=plain)


def file_block(file: File, media_type: str) -> HeaderBlock:
    """Give what the headers say of a file."""
    block = HeaderBlock()
    content_type, disposition = [f" {media_type}"], [" inline" if file.inline else " attachment"]
    if file.filename:
        content_type = [f" {media_type};", *media.old_parameter("name", file.filename)]
        disposition = [f"{disposition[0]};", *media.parameter("filename", file.filename)]
    block.pieces("Content-Type", content_type)
    block.pieces("Content-Disposition", disposition)
    if file.content_id:
        block.pieces("Content-ID", [f" <{file.content_id}>"])
    return block


def _multipart(subtype: str, parts: Sequence[Part], boundary: str, extra: str = "") -> Part:
    block = HeaderBlock()
    pieces = [f" multipart/{subtype};", f' boundary="{boundary}"']
    block.pieces("Content-Type", [pieces[0], f"{extra};", pieces[1]] if extra else pieces)
    segments: list[Segment] = []
    for part in parts:
        segments.append(f"--{boundary}\r\n{part.block.checked()}\r\n".encode("ascii"))
        segments += part.segments
        segments.append(b"\r\n")
    segments.append(f"--{boundary}--\r\n".encode("ascii"))
    return Part(block, segments)


def _boundary(seed: str, plain: Sequence[Part]) -> str:
    """Give a boundary's stem that no part holds; "=_" cannot occur in an encoded one."""
    for number in count():
        digest = blake2b(f"{seed}/{number}".encode(), digest_size=12).hexdigest()
        stem = f"=_{digest}"
        if not any(_holds(part, stem.encode()) for part in plain):
            return stem
    raise AssertionError  # count() does not end


def _holds(part: Part, stem: bytes) -> bool:
    """Whether a part that is not encoded has it."""
    return any(isinstance(segment, bytes) and stem in segment for segment in part.segments)
