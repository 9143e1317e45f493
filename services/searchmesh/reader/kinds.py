"""What kind of document a body is."""

from __future__ import annotations

import re
from enum import Enum

from searchmesh.reader.page import Source
from searchmesh.runtime.errors import InvalidArgument


class Kind(Enum):
    """How a document is read."""

    HTML = "html"
    PDF = "pdf"
    MARKDOWN = "markdown"
    TEXT = "text"
    CODE = "code"
    """Data and programs, which are shown as they are."""
    IMAGE = "image"
    """Pixels, which a model has to look at."""


ACCEPTED = (
    "text/html",
    "application/xhtml+xml",
    "application/pdf",
    "text/*",
    "application/json",
    "application/*+json",
    "application/xml",
    "application/*+xml",
    "application/octet-stream",
    "image/*",
)
"""What servers are asked for."""

_BY_TYPE = {
    "text/html": Kind.HTML,
    "application/xhtml+xml": Kind.HTML,
    "application/pdf": Kind.PDF,
    "application/x-pdf": Kind.PDF,
    "text/markdown": Kind.MARKDOWN,
    "text/x-markdown": Kind.MARKDOWN,
    "text/plain": Kind.TEXT,
}
_UNTOLD = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/unknown"})
_CODE = frozenset({"json", "xml", "yaml", "javascript", "css", "csv"})
_HTML_START = re.compile(rb"<(?:!doctype html|!--|\?xml|html|head|body|title|script|h1|div|p|table)\b", re.IGNORECASE)
_IMAGES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}
"""Types of images by their first bytes."""
_SNIFFED = 1024


def kind_of(source: Source) -> tuple[Kind, str]:
    """How to read a document, and the language of code.

    Raises InvalidArgument for kinds that are not read.
    """
    media = source.content_type
    if media in _UNTOLD:
        return _sniffed(source), ""
    if media in _BY_TYPE:
        return _BY_TYPE[media], ""
    kind, _, name = media.partition("/")
    if kind == "image" and name != "svg+xml":
        return Kind.IMAGE, ""
    language = name.rpartition("+")[2].removeprefix("x-")
    if language in _CODE:
        return Kind.CODE, language
    if kind == "text":
        return Kind.TEXT, ""
    raise InvalidArgument(source.field, f"is of type {media}, which is not read", reason="UNSUPPORTED_TYPE")


def _sniffed(source: Source) -> Kind:
    """Told from the first bytes, as browsers do."""
    start = source.body[:_SNIFFED].removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"%PDF-" in start[:256]:
        return Kind.PDF
    if image_type(source.body):
        return Kind.IMAGE
    if _HTML_START.match(start) or b"<html" in start.lower():
        return Kind.HTML
    utf16 = start.startswith((b"\xff\xfe", b"\xfe\xff"))
    if b"\x00" in start and not utf16:
        raise InvalidArgument(source.field, "is binary data of a kind that is not read", reason="UNSUPPORTED_TYPE")
    return Kind.TEXT


def image_type(body: bytes) -> str:
    """Media type of an image, told from its first bytes; empty for what is none."""
    if body.startswith(b"RIFF") and body[8:12] == b"WEBP":
        return "image/webp"
    return next((media for start, media in _IMAGES.items() if body.startswith(start)), "")
