"""How collections and documents lie in Redis.

=========================================  ======  ===================================================
``searchmesh:collections``                 hash    name → definition (JSON)
``searchmesh:dropped``                     set     prefixes of deleted collections not yet swept
``searchmesh:{name}:uid``                  index   of RediSearch
``searchmesh:{name}:uid:id``               hash    one document
=========================================  ======  ===================================================

The braces keep a collection in one slot. Nothing of the users' is a name in the schema: filter fields and vector
spaces go by their position in the definition (``f0``, ``v0``), so that no name has to be escaped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from searchmesh.router.index.analysis import Analyser
from searchmesh.router.index.protocol import (
    Collection,
    Document,
    FieldType,
    FilterField,
    Image,
    Json,
    MultiVectors,
    Record,
    Space,
    TokenDtype,
)

COLLECTIONS = "searchmesh:collections"
DROPPED = "searchmesh:dropped"

TITLE, TEXT, METADATA, CONTENT_HASH = "title", "text", "metadata", "hash"
IMAGE_DATA, IMAGE_BYTES, IMAGE_URL = "image", "image_bytes", "image_url"
TOKEN_VECTORS = "tokens"
TITLE_TERMS, TEXT_TERMS = "tt", "xt"

DOCUMENT = (TITLE, TEXT, METADATA, IMAGE_BYTES, IMAGE_URL)
"""Fields of a document without the large ones."""

TITLE_WEIGHT = 2
"""A term of the title counts as often as this many in the text. Measured nDCG@10 of BM25 with weight 1, 2 and 3:
cranfield (150 queries) .492 .505 .507, scifact .684 .689 .688."""

HNSW_M = 16
HNSW_EF_CONSTRUCTION = 200
"""Recall@100 at ef 200 over 5,183 scifact vectors and over 51,760 of its 32-token windows, and time to add one of
the latter on one core: M 16, ef_construction 100: .994 .979 0.22 ms; 16, 200: .995 .986 0.31 ms; 24, 200: - .989
0.31 ms; 32, 200: .997 .989 0.34 ms. Beyond 16 and 200 the search gets slower for little."""

_UNSEARCHED = ("NOOFFSETS", "NOHL", "NOFIELDS")
"""What the index leaves out: places of terms (phrases, highlights) and which field they are in."""


def index_name(collection: Collection) -> str:
    """Name of the search index."""
    return f"searchmesh:{{{collection.name}}}:{collection.uid}"


def key_prefix(collection: Collection) -> str:
    """What the keys of all documents start with."""
    return f"{index_name(collection)}:"


def create_command(collection: Collection) -> list[Any]:
    """The FT.CREATE of a collection. Terms come analysed, so the engine shall not stem or drop any."""
    schema: list[Any] = [TITLE_TERMS, "TEXT", "NOSTEM", "WEIGHT", TITLE_WEIGHT, TEXT_TERMS, "TEXT", "NOSTEM"]
    for number, space in enumerate(collection.spaces):
        hnsw: list[Any] = ["TYPE", "FLOAT32", "DIM", space.dimensions, "DISTANCE_METRIC", "COSINE"]
        hnsw += ["M", HNSW_M, "EF_CONSTRUCTION", HNSW_EF_CONSTRUCTION]
        schema += [f"v{number}", "VECTOR", "HNSW", len(hnsw), *hnsw]
    for number, field in enumerate(collection.filter_fields):
        schema += [f"f{number}", *(["TAG", "CASESENSITIVE"] if field.type is FieldType.TAG else ["NUMERIC"])]
    head = ["FT.CREATE", index_name(collection), "ON", "HASH", "PREFIX", 1, key_prefix(collection)]
    return [*head, *_UNSEARCHED, "STOPWORDS", 0, "SCHEMA", *schema]


def write_commands(collection: Collection, record: Record, analyser: Analyser) -> list[list[Any]]:
    """The commands that put a record in place of an older one with the same id."""
    document = record.document
    key = key_prefix(collection) + document.id
    values: dict[str, Any] = {
        TITLE: document.title,
        TEXT: document.text,
        METADATA: json.dumps(document.metadata, ensure_ascii=False, separators=(",", ":")),
        TITLE_TERMS: " ".join(analyser.terms(document.title)),
        TEXT_TERMS: " ".join(analyser.terms(document.text)),
        CONTENT_HASH: record.content_hash,
        TOKEN_VECTORS: record.token_vectors or None,
        **_image_values(document.image),
    }
    for number, space in enumerate(collection.spaces):
        vector = record.vectors.get(space.name)
        values[f"v{number}"] = None if vector is None else vector_bytes(space, vector)
    for number, field in enumerate(collection.filter_fields):
        value = document.metadata.get(field.name)
        values[f"f{number}"] = None if value is None or value == [] else _filter_value(field, value)
    unset = [name for name, value in values.items() if value is None]
    fields = [part for name, value in values.items() if value is not None for part in (name, value)]
    # On a key or fields that are not there HDEL changes nothing, and so makes the index do nothing.
    commands = [["HDEL", key, *unset]] if unset else []
    return [*commands, ["HSET", key, *fields]]


def _image_values(image: Image | None) -> dict[str, Any]:
    data = None if image is None else image.data
    return {
        IMAGE_DATA: data or None,
        IMAGE_BYTES: len(data) if data else None,
        IMAGE_URL: None if image is None else image.url or None,
    }


def vector_bytes(space: Space, vector: Any) -> bytes:
    """A vector as Redis takes it. Raises ValueError for another size than the space's: Redis would not index it."""
    if vector.shape != (space.dimensions,):
        raise ValueError(f"a vector of shape {vector.shape} for a space of {space.dimensions} dimensions")
    return bytes(vector.astype("<f4", copy=False).tobytes())


def tag_term(value: str) -> str:
    """A tag value as a term without separators, spaces or case rules; also the empty value is one."""
    return "=" + quote(value, safe="")


def _filter_value(field: FilterField, value: Json) -> str | float:
    if field.type is FieldType.NUMBER:
        return float(value)  # type: ignore[arg-type]  # checked before it came here
    values = value if isinstance(value, list) else [value]
    return ",".join(tag_term(str(tag)) for tag in values)


def document_of(id: str, reply: Sequence[bytes | None]) -> Document | None:
    """The document of an HMGET of `DOCUMENT`."""
    title, text, metadata, image_bytes, image_url = reply
    if title is None or text is None or metadata is None:
        return None
    image = None
    if image_url is not None:
        image = Image(url=image_url.decode())
    elif image_bytes is not None:
        image = Image(unfetched=int(image_bytes))
    return Document(id, title.decode(), text.decode(), json.loads(metadata), image)


def definition_to_json(collection: Collection) -> str:
    """The definition as it is stored."""
    return json.dumps(
        {
            "name": collection.name,
            "uid": collection.uid,
            "created_at": collection.created_at,
            "language": collection.language,
            "reranker": collection.reranker,
            "spaces": [
                [space.name, space.embedder, space.dimensions, *sorted(space.modalities)] for space in collection.spaces
            ],
            "multi_vectors": _multi_vectors_to_json(collection.multi_vectors),
            "filter_fields": [[field.name, field.type] for field in collection.filter_fields],
        },
        ensure_ascii=False,
    )


def _multi_vectors_to_json(multi: MultiVectors | None) -> list[Json] | None:
    return None if multi is None else [multi.embedder, multi.dimensions, multi.dtype, *sorted(multi.modalities)]


def definition_from_json(data: bytes) -> Collection:
    """The definition as it was stored."""
    stored: Mapping[str, Any] = json.loads(data)
    return Collection(
        name=stored["name"],
        uid=stored["uid"],
        created_at=stored["created_at"],
        language=stored["language"],
        reranker=stored["reranker"],
        spaces=tuple(
            # Definitions from before there were images name no modalities.
            Space(name, embedder, dimensions, frozenset(modalities or ["text"]))
            for name, embedder, dimensions, *modalities in stored["spaces"]
        ),
        multi_vectors=_multi_vectors_from_json(stored.get("multi_vectors")),
        filter_fields=tuple(FilterField(name, FieldType(type)) for name, type in stored["filter_fields"]),
    )


def _multi_vectors_from_json(stored: Any) -> MultiVectors | None:
    if stored is None:
        return None
    embedder, dimensions, dtype, *modalities = stored
    return MultiVectors(embedder, dimensions, TokenDtype(dtype), frozenset(modalities))
