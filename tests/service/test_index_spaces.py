"""The index on a real Redis with several vector spaces: absent vectors, images, stored token vectors."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from searchmesh.router.index import Collection, Document, Image, MultiVectors, Record, Space, TokenDtype, Vector
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.router.index.redis_schema import definition_from_json, definition_to_json
from support.router import unit

BOTH = frozenset({"text", "image"})
COLLECTION = Collection(
    "photos",
    (Space("text", "words", 4), Space("image", "clip", 3, BOTH)),
    "english",
    multi_vectors=MultiVectors("colbert", 10, TokenDtype.BINARY),
    uid="u1",
)


def record(
    id: str,
    *,
    text: Vector | None = None,
    image: Vector | None = None,
    picture: Image | None = None,
    tokens: bytes = b"",
) -> Record:
    vectors = {name: vector for name, vector in (("text", text), ("image", image)) if vector is not None}
    return Record(Document(id, "", "words" if text is not None else "", {}, picture), b"h", vectors, tokens)


async def found(index: RedisIndex, space: str, vector: Vector) -> list[str]:
    return [match.id for match in await index.dense(COLLECTION, space, vector, 10)]


async def test_a_definition_with_images_and_token_vectors_comes_back(index: RedisIndex) -> None:
    await index.create_collection(COLLECTION)
    assert await index.get_collection("photos") == COLLECTION


def test_a_definition_from_before_there_were_images_can_be_read() -> None:
    plain = Collection("old", (Space("text", "words", 4),), "english")
    stored = json.loads(definition_to_json(plain))
    del stored["multi_vectors"]
    stored["spaces"] = [["text", "words", 4]]
    assert definition_from_json(json.dumps(stored).encode()) == plain


async def test_a_document_is_found_in_the_spaces_that_it_has_a_vector_in(index: RedisIndex) -> None:
    await index.create_collection(COLLECTION)
    await index.upsert(
        COLLECTION,
        [
            record("both", text=unit(1, 0, 0, 0), image=unit(1, 0, 0)),
            record("text", text=unit(1, 1, 0, 0)),
            record("image", image=unit(1, 1, 0)),
        ],
    )
    assert await found(index, "text", unit(1, 0, 0, 0)) == ["both", "text"]
    assert await found(index, "image", unit(1, 0, 0)) == ["both", "image"]
    assert await index.count(COLLECTION) == 3


async def test_an_update_takes_away_what_the_new_version_has_not(index: RedisIndex) -> None:
    await index.create_collection(COLLECTION)
    picture = Image(data=b"picture")
    await index.upsert(
        COLLECTION, [record("d", text=unit(1, 0, 0, 0), image=unit(1, 0, 0), picture=picture, tokens=b"ab")]
    )
    await index.upsert(COLLECTION, [record("d", text=unit(0, 1, 0, 0))])
    assert await found(index, "image", unit(1, 0, 0)) == []
    assert await found(index, "text", unit(0, 1, 0, 0)) == ["d"]
    assert await index.fetch(COLLECTION, ["d"]) == [Document("d", "", "words")]
    assert await index.image_data(COLLECTION, ["d"]) == [None]
    assert await index.token_vectors(COLLECTION, ["d"]) == [None]
    await index.upsert(COLLECTION, [record("d", image=unit(0, 1, 0), picture=Image(url="http://a/b.png"))])
    assert await found(index, "text", unit(0, 1, 0, 0)) == []
    assert await found(index, "image", unit(0, 1, 0)) == ["d"]
    assert await index.fetch(COLLECTION, ["d"]) == [Document("d", image=Image(url="http://a/b.png"))]


async def test_large_parts_are_fetched_only_when_they_are_asked_for(index: RedisIndex) -> None:
    await index.create_collection(COLLECTION)
    data = bytes(range(256)) * 100
    vector = unit(1, 0, 0)
    await index.upsert(
        COLLECTION,
        [
            record("data", image=vector, picture=Image(data=data), tokens=b"\x00\xff" * 3),
            record("url", image=vector, picture=Image(url="https://example.org/ü.png")),
            record("none", text=unit(1, 0, 0, 0), tokens=b"\x01\x02"),
        ],
    )
    ids = ["url", "none", "missing", "data"]
    fetched = await index.fetch(COLLECTION, ids)
    assert [document and document.image for document in fetched] == [
        Image(url="https://example.org/ü.png"),
        None,
        None,
        Image(unfetched=len(data)),
    ]
    assert await index.image_data(COLLECTION, ids) == [None, None, None, data]
    assert await index.token_vectors(COLLECTION, ids) == [None, b"\x01\x02", None, b"\x00\xff" * 3]


@pytest.mark.parametrize(("dtype", "dimensions", "size"), [("int8", 128, 128), ("binary", 128, 16), ("binary", 10, 2)])
def test_the_size_of_a_token_vector_follows_from_its_type(dtype: str, dimensions: int, size: int) -> None:
    multi = replace(MultiVectors("m", dimensions), dtype=TokenDtype(dtype))
    assert multi.row_bytes == size
