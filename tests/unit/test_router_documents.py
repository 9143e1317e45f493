"""What a document must be like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from searchmesh.router.documents import (
    MAX_TEXT_BYTES,
    check_document,
    check_id,
    content_hash,
    embedded,
    passage,
    readable,
)
from searchmesh.router.index import (
    Collection,
    Document,
    FieldType,
    FilterField,
    Image,
    Json,
    MultiVectors,
    Space,
    TokenDtype,
)
from searchmesh.runtime.errors import InvalidArgument

COLLECTION = Collection(
    "c", (Space("text", "m", 4),), "english", (FilterField("tag", FieldType.TAG), FilterField("year", FieldType.NUMBER))
)


@pytest.mark.parametrize("id", ["a", "a" * 512, "ü" * 256, "with space/and:signs", "😀"])
def test_good_ids(id: str) -> None:
    check_id("id", id)


@pytest.mark.parametrize("id", ["", "a" * 513, "ü" * 257, "a\nb", "a\0", "a\x7f", "a\x85"])
def test_bad_ids(id: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_id("id", id)
    assert caught.value.field == "id"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (Document("d"), "text"),
        (Document("d", " ", "\n\t"), "text"),
        (Document("d", "t" * 20_000, "x"), "title"),
        (Document("d", "", "x" * (MAX_TEXT_BYTES + 1)), "text"),
        (Document("d", "", "é" * (MAX_TEXT_BYTES // 2 + 1)), "text"),
        (Document("d", "", "x", {"k": "v" * 70_000}), "metadata"),
        (Document("", "", "x"), "id"),
    ],
)
def test_a_document_outside_the_limits_is_refused(document: Document, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_document(document, COLLECTION, max_image_bytes=1000)
    assert caught.value.field == field


WITH_IMAGES = replace(COLLECTION, spaces=(*COLLECTION.spaces, Space("image", "clip", 4)))


@pytest.mark.parametrize(
    ("image", "field"),
    [
        (Image(b"x" * 1001), "image.data"),
        (Image(), "image"),
        (Image(url="ftp://host/a.png"), "image.url"),
        (Image(url="no url"), "image.url"),
        (Image(url="http://"), "image.url"),
        (Image(url="http://a/" + "b" * 5000), "image.url"),
    ],
)
def test_an_image_that_cannot_be_one_is_refused(image: Image, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_document(Document("d", "", "x", {}, image), WITH_IMAGES, max_image_bytes=1000)
    assert caught.value.field == field


def test_an_image_alone_needs_a_space_for_images() -> None:
    alone = Document("d", image=Image(b"x" * 1000))
    check_document(alone, WITH_IMAGES, max_image_bytes=1000)
    with pytest.raises(InvalidArgument, match="no vector space for images"):
        check_document(alone, COLLECTION, max_image_bytes=1000)
    check_document(replace(alone, text="x"), COLLECTION, max_image_bytes=1000)


def test_each_space_embeds_its_part_of_a_document() -> None:
    text, image = WITH_IMAGES.spaces
    picture = Image(b"x")
    both = Document("d", "title", "text", {}, picture)
    assert [embedded(both, space) for space in (text, image)] == ["title\ntext", picture]
    assert [embedded(Document("d", image=picture), space) for space in (text, image)] == [None, picture]
    assert [embedded(Document("d", "title"), space) for space in (text, image)] == ["title", None]


def test_a_model_reads_the_text_rather_than_the_image() -> None:
    picture = Image(b"x")
    both, alone = Document("d", "title", image=picture), Document("d", image=picture)
    assert readable(both, {"text", "image"}) == readable(both, {"text"}) == "title"
    assert readable(alone, {"text", "image"}) == picture
    assert readable(alone, {"text"}) is None


@pytest.mark.parametrize("document", [Document("d", "title"), Document("d", "", "é" * (MAX_TEXT_BYTES // 2))])
def test_a_document_within_the_limits_passes(document: Document) -> None:
    check_document(document, COLLECTION, max_image_bytes=1000)


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"tag": 5}, "metadata.tag"),
        ({"tag": ["a", 5]}, "metadata.tag"),
        ({"tag": {"a": 1}}, "metadata.tag"),
        ({"tag": "a" * 513}, "metadata.tag"),
        ({"tag": [str(number) for number in range(300)]}, "metadata.tag"),
        ({"year": "1999"}, "metadata.year"),
        ({"year": True}, "metadata.year"),
        ({"year": [1]}, "metadata.year"),
    ],
)
def test_metadata_of_a_wrong_type_is_refused_by_its_name(metadata: dict[str, Json], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_document(Document("d", "", "x", metadata), COLLECTION, max_image_bytes=1000)
    assert caught.value.field == field


@pytest.mark.parametrize("metadata", [{}, {"tag": None, "year": None}, {"tag": [], "year": 0}, {"other": {"a": [1]}}])
def test_metadata_that_fits_or_is_not_filtered_on_passes(metadata: dict[str, Json]) -> None:
    check_document(Document("d", "", "x", metadata), COLLECTION, max_image_bytes=1000)


def test_a_passage_is_title_and_text() -> None:
    assert passage(Document("d", "Title", "text")) == "Title\ntext"
    assert passage(Document("d", "", "text")) == "text"
    assert passage(Document("d", "Title")) == "Title"


def test_the_hash_covers_content_and_models_but_not_the_id_or_the_order_of_metadata() -> None:
    base = Document("d", "t", "x", {"a": 1, "b": [2]})
    same = content_hash(base, COLLECTION)
    assert content_hash(Document("other", "t", "x", {"b": [2], "a": 1}), COLLECTION) == same
    others = [Document("d", "tx", ""), Document("d", "", "tx"), Document("d", "t", "x", {"a": 2, "b": [2]})]
    others += [replace(base, image=image) for image in (Image(b"1"), Image(b"2"), Image(url="http://a"))]
    hashes = {same, *(content_hash(document, COLLECTION) for document in others)}
    collections = [
        replace(COLLECTION, spaces=(Space("text", "m2", 4),)),
        replace(COLLECTION, spaces=(Space("text", "m", 8),)),
        replace(COLLECTION, spaces=(Space("code", "jina-embeddings-v4", 4),)),
        replace(COLLECTION, spaces=(Space("text", "jina-embeddings-v4", 4),)),
        *(replace(COLLECTION, multi_vectors=MultiVectors("m", 4, dtype)) for dtype in TokenDtype),
    ]
    hashes |= {content_hash(base, collection) for collection in collections}
    assert len(hashes) == 13
