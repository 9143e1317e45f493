"""What a document must be like, what of it is embedded, and when two are the same."""

from __future__ import annotations

import json
from collections.abc import Set
from hashlib import blake2b
from urllib.parse import urlsplit

from searchmesh.router.index import (
    Collection,
    Content,
    Document,
    FieldType,
    FilterField,
    Image,
    Json,
    Space,
    SpaceName,
)
from searchmesh.router.index.filters import MAX_TAG_BYTES
from searchmesh.router.tasks import passage_task
from searchmesh.runtime.errors import InvalidArgument

MAX_ID_BYTES = 512
MAX_TITLE_BYTES = 16 * 1024
MAX_TEXT_BYTES = 1024 * 1024
MAX_METADATA_BYTES = 64 * 1024
MAX_URL_BYTES = 4096
MAX_TAGS = 256
"""Values of one tag field of one document."""

HASH_VERSION = 2
"""Raise it when documents must be indexed again though they have not changed, as after a change of the analysis."""

_CONTROLS = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))}


def check_id(field: str, id: str) -> None:
    """Raise InvalidArgument unless `id` can name a document."""
    if not 1 <= len(id.encode()) <= MAX_ID_BYTES:
        raise InvalidArgument(field, f"must have 1 to {MAX_ID_BYTES} bytes, has {len(id.encode())}")
    if not _CONTROLS.isdisjoint(id):
        raise InvalidArgument(field, "has a control character")


def check_document(document: Document, collection: Collection, *, max_image_bytes: int) -> None:
    """Raise InvalidArgument, with the field within the document, unless it can be indexed."""
    check_id("id", document.id)
    if document.image is not None:
        check_image("image", document.image, max_image_bytes)
    if not passage(document):
        if document.image is None:
            raise InvalidArgument("text", "needs a title, a text or an image")
        if all(space.name != SpaceName.IMAGE for space in collection.spaces):
            raise InvalidArgument("text", "needs a title or a text, as the collection has no vector space for images")
    _check_size("title", document.title, MAX_TITLE_BYTES)
    _check_size("text", document.text, MAX_TEXT_BYTES)
    _check_size("metadata", json.dumps(document.metadata, ensure_ascii=False), MAX_METADATA_BYTES)
    for field in collection.filter_fields:
        _check_value(field, document.metadata.get(field.name))


def check_image(field: str, image: Image, max_bytes: int) -> None:
    """Raise InvalidArgument unless there are data of a bearable size, or a URL that can be one."""
    if image.url:
        if len(image.url.encode()) > MAX_URL_BYTES:
            raise InvalidArgument(f"{field}.url", f"has {len(image.url.encode())} bytes, the limit is {MAX_URL_BYTES}")
        if not _is_web_address(image.url):
            raise InvalidArgument(f"{field}.url", "must be an http or https URL")
    elif not image.data:
        raise InvalidArgument(field, "has neither data nor url")
    elif len(image.data) > max_bytes:
        raise InvalidArgument(f"{field}.data", f"has {len(image.data)} bytes, the limit is {max_bytes}")


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def passage(document: Document) -> str:
    """The text that is embedded and reranked: title and text."""
    return f"{document.title}\n{document.text}".strip()


def embedded(document: Document, space: Space) -> Content | None:
    """What of a document a vector space embeds; None if it has nothing for it."""
    if space.name == SpaceName.IMAGE:
        return document.image
    return passage(document) or None


def readable(document: Document, modalities: Set[str]) -> Content | None:
    """What a model of these modalities reads of a document: its text, else its image, else nothing."""
    if "text" in modalities and (text := passage(document)):
        return text
    return document.image if "image" in modalities else None


def content_hash(document: Document, collection: Collection) -> bytes:
    """16 bytes over all that a record of this document in this collection is made from."""
    spaces = [
        [space.name, space.embedder, space.dimensions, passage_task(space.embedder, space.name)]
        for space in collection.spaces
    ]
    multi = collection.multi_vectors
    tokens = multi and [multi.embedder, multi.dimensions, multi.dtype]
    image = document.image and [blake2b(document.image.data, digest_size=32).hexdigest(), document.image.url]
    content = [HASH_VERSION, spaces, tokens, document.title, document.text, image, document.metadata]
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).digest()


def _check_size(field: str, text: str, limit: int) -> None:
    # A character has at most four bytes, so most texts need no second look.
    if 4 * len(text) > limit and (size := len(text.encode())) > limit:
        raise InvalidArgument(field, f"has {size} bytes, the limit is {limit}")


def _check_value(field: FilterField, value: Json) -> None:
    path = f"metadata.{field.name}"
    if value is None:
        return
    if field.type is FieldType.NUMBER:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidArgument(path, "must be a number, as the collection's filter field says")
        return
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(tag, str) for tag in values):
        raise InvalidArgument(path, "must be a string or a list of strings, as the collection's filter field says")
    if len(values) > MAX_TAGS or any(len(str(tag).encode()) > MAX_TAG_BYTES for tag in values):
        raise InvalidArgument(path, f"may have {MAX_TAGS} values of {MAX_TAG_BYTES} bytes at most")
