"""What a reranker is given to read: texts, images, stored token vectors; and what becomes of what it cannot read."""

from __future__ import annotations

import pytest

from searchmesh.router.index import Document, Image, MultiVectors, TokenDtype
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.router.ports import SourceAnswer
from searchmesh.router.query import Hit, RerankOptions, SearchResult
from searchmesh.runtime.errors import InvalidArgument, Unavailable
from support.router import (
    BLENDING,
    CLIP,
    COLBERT,
    DIMENSIONS,
    MODEL,
    OMNI,
    PLAIN,
    RERANKERS,
    SEEING,
    FakeSource,
    picture,
    raises,
)
from support.router_world import World, ids

SPACES = {"text": MODEL, "image": CLIP}
BOATS = [
    Document("dull", "A boat", "a red boat on the lake"),
    Document("photo", image=picture("a red boat with a good good sail")),
    Document("good", "Harbour", "a red boat and good ropes"),
    Document("both", "File 7", "", {}, picture("a red boat good good good")),
]
MULTI = MultiVectors(COLBERT, 0)
RERANK = RerankOptions(enabled=True)


@pytest.fixture
async def world(index: RedisIndex) -> World:
    world = World(index)
    await world.make("boats", SPACES, BOATS)
    return world


def reasons(result: SearchResult) -> list[tuple[str, str]]:
    return [(one.stage, one.reason) for one in result.degraded]


# ---- images


async def test_a_model_of_texts_reorders_texts_and_pictures_keep_their_places(world: World) -> None:
    fused = ids(await world.search("red boat", "boats"))
    result = await world.search("red boat", "boats", rerank=RERANK)
    assert ids(result).index("photo") == fused.index("photo")
    assert [id for id in ids(result) if id != "photo"] == ["good", *(id for id in fused if id not in ("photo", "good"))]
    (_, _, documents) = world.reranker.calls[0]
    assert set(documents) == {"A boat\na red boat on the lake", "Harbour\na red boat and good ropes", "File 7"}
    photo = next(hit for hit in result.hits if hit.document.id == "photo")
    assert "rerank" not in photo.stage_scores
    assert photo.score == photo.stage_scores["fused"]
    assert result.degraded == []


async def test_a_model_that_reads_both_orders_texts_and_pictures_together(world: World) -> None:
    world.reranker.model = SEEING
    result = await world.search("red boat", "boats", rerank=RERANK)
    assert ids(result) == ["both", "photo", "good", "dull"]
    assert [hit.stage_scores["rerank"] for hit in result.hits] == [3, 2, 1, 0]
    (_, _, documents) = world.reranker.calls[0]
    # What was found by its picture is read as a picture, whatever its title.
    assert {document for document in documents if isinstance(document, Image)} == {BOATS[1].image, BOATS[3].image}


async def test_what_was_found_by_its_words_alone_is_read_as_text(world: World) -> None:
    world.reranker.model = SEEING
    await world.search("harbour file", "boats", spaces=("text",), rerank=RERANK)
    (_, _, documents) = world.reranker.calls[0]
    assert "File 7" in documents


async def test_a_picture_is_ranked_by_a_model_that_reads_it(world: World) -> None:
    world.reranker.model = SEEING
    query = picture("a red boat")
    result = await world.search(query, "boats", rerank=RERANK)
    assert ids(result) == ["both", "photo"]
    assert world.reranker.calls[0][1] == query


async def test_a_picture_is_left_in_fused_order_by_a_model_of_texts(world: World) -> None:
    result = await world.search(picture("a sail"), "boats", rerank=RERANK)
    assert ids(result) == ["photo", "both"]
    assert reasons(result) == [("rerank", "RERANKER_READS_NO_IMAGES")]
    assert f"{PLAIN} does not read images" in result.degraded[0].message
    assert world.reranker.calls == []
    for asked in (RerankOptions(model=PLAIN), RerankOptions(required=True)):
        with pytest.raises(InvalidArgument) as caught:
            await world.search(picture("a sail"), "boats", rerank=asked)
        assert caught.value.field == "rerank.model"


async def test_pictures_that_do_not_fit_into_a_request_keep_their_places(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("searchmesh.router.reading.MAX_REQUEST_BYTES", 30)
    world.reranker.model = SEEING
    result = await world.search(picture("a red boat"), "boats", rerank=RERANK)
    assert len(world.reranker.calls[0][2]) == 1
    assert reasons(result) == [("rerank", "REQUEST_FULL")]
    assert "1 candidates were not read" in result.degraded[0].message
    assert len(result.hits) == 2


async def test_more_pictures_than_a_reranker_takes_keep_their_places(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("searchmesh.router.reading.MAX_REQUEST_IMAGES", 1)
    world.reranker.model = SEEING
    result = await world.search("red boat", "boats", rerank=RERANK)
    assert sum(isinstance(document, Image) for document in world.reranker.calls[0][2]) == 1
    assert reasons(result) == [("rerank", "REQUEST_FULL")]


async def test_pictures_of_sources_count_too_and_those_without_data_are_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.reranker.model = SEEING
    hits = [
        Hit("", Document("bare", image=Image()), 3.0),
        Hit("", Document("large", image=Image(b"x" * 100)), 2.0),
        Hit("", Document("small", image=picture("good")), 1.0),
    ]
    world.sources["far"] = FakeSource(SourceAnswer(hits))
    monkeypatch.setattr("searchmesh.router.reading.MAX_REQUEST_BYTES", 50)
    monkeypatch.setattr("searchmesh.router.search.MAX_IMAGE_BYTES", 50)
    result = await world.search("red boat", "far", rerank=RERANK)
    assert ids(result) == ["bare", "large", "small"]
    assert world.reranker.calls[0][2] == [picture("good")]
    assert [hit.document.image for hit in result.hits] == [Image(), Image(), picture("good")]
    assert reasons(result) == [("rerank", "REQUEST_FULL"), ("fetch", "IMAGES_LEFT_OUT")]


async def test_a_picture_that_cannot_be_read_keeps_its_place_and_the_rest_is_ranked(world: World) -> None:
    world.reranker.model = SEEING
    rerank = world.reranker.rerank

    async def cannot_read_the_photo(model: str, query: object, documents: list[object], **options: float) -> object:
        if BOATS[1].image in documents:
            field = f"documents[{documents.index(BOATS[1].image)}].image.url"
            raise InvalidArgument(field, "answered with status 404", reason="URL_UNREACHABLE")
        return await rerank(model, query, documents, **options)  # type: ignore[arg-type]

    world.reranker.rerank = cannot_read_the_photo  # type: ignore[method-assign,assignment]
    result = await world.search("red boat", "boats", rerank=RERANK)
    assert [id for id in ids(result) if id != "photo"] == ["both", "good", "dull"]
    assert reasons(result) == [("rerank", "URL_UNREACHABLE")]
    assert result.degraded[0].message == (
        "boats/photo was not read and keeps its place: its image answered with status 404"
    )


async def test_pictures_without_end_that_cannot_be_read_leave_the_fused_order(world: World) -> None:
    world.reranker.model = SEEING
    world.reranker.behaviour = raises(InvalidArgument("documents[0].image.url", "has no host"))
    await world.make("many", SPACES, [Document(str(n), image=picture(f"red boat {n}")) for n in range(8)])
    result = await world.search("red boat", "many", rerank=RERANK)
    assert len(result.hits) == 8
    assert reasons(result) == [("rerank", "INVALID_ARGUMENT")]
    assert len(world.reranker.timeouts) == 4


# ---- stored token vectors


async def test_stored_token_vectors_are_ranked_without_reading_the_texts(world: World) -> None:
    world.reranker.model = COLBERT
    multi = MultiVectors(COLBERT, 0)
    collection = await world.make("stored", SPACES, BOATS, reranker=COLBERT, multi=multi)
    result = await world.search("red boat", "stored")
    assert world.reranker.calls == []
    (stored,) = world.reranker.stored
    assert stored.multi == collection.multi_vectors == MultiVectors(COLBERT, DIMENSIONS, TokenDtype.INT8)
    words = {"dull": 8, "good": 7, "both": 2}
    assert sorted(map(len, stored.blocks)) == sorted(count * DIMENSIONS for count in words.values())
    assert [id for id in ids(result) if id != "photo"] == list(words)
    assert result.degraded == []


async def test_token_vectors_may_be_bits(world: World) -> None:
    world.reranker.model = COLBERT
    await world.make("bits", SPACES, BOATS, reranker=COLBERT, multi=MultiVectors(COLBERT, 0, TokenDtype.BINARY))
    await world.search("red boat", "bits")
    (stored,) = world.reranker.stored
    assert sorted(map(len, stored.blocks)) == [2 * DIMENSIONS // 8, 7 * DIMENSIONS // 8, 8 * DIMENSIONS // 8]


async def test_a_model_that_reads_images_has_token_vectors_of_pictures_too(world: World) -> None:
    world.reranker.model = OMNI
    world.reranker.listed = (*RERANKERS, next(model for model in world.embedder.listed if model.name == OMNI))
    await world.make("omni", {"text": OMNI, "image": OMNI}, BOATS, reranker=OMNI, multi=MultiVectors(OMNI, 0))
    result = await world.search(picture("red boat"), "omni")
    (stored,) = world.reranker.stored
    assert len(stored.blocks) == 4
    assert result.degraded == []


async def test_token_vectors_of_another_model_are_of_no_use(world: World) -> None:
    await world.make("stored", SPACES, BOATS, reranker=BLENDING, multi=MULTI)
    result = await world.search("red boat", "stored")
    assert world.reranker.stored == []
    assert len(world.reranker.calls[0][2]) == 3
    assert result.degraded == []


async def test_where_one_has_no_token_vectors_all_are_read_anew_and_that_is_told(world: World) -> None:
    world.reranker.model = COLBERT
    await world.make("stored", SPACES, BOATS, reranker=COLBERT, multi=MULTI)
    result = await world.search("red boat", "stored", "boats")
    assert world.reranker.stored == []
    assert len(world.reranker.calls[0][2]) == 6
    assert reasons(result) == [("rerank", "TOKEN_VECTORS_MISSING")]
    world.sources["far"] = FakeSource(SourceAnswer([Hit("", Document("s", "Far", "good good"), 1.0)]))
    assert reasons(await world.search("red boat", "stored", "far")) == [("rerank", "TOKEN_VECTORS_MISSING")]


async def test_token_vectors_of_different_kinds_are_not_mixed(world: World) -> None:
    world.reranker.model = COLBERT
    await world.make("bytes", SPACES, BOATS, reranker=COLBERT, multi=MULTI)
    await world.make("bits", SPACES, BOATS, reranker=COLBERT, multi=MultiVectors(COLBERT, 0, TokenDtype.BINARY))
    result = await world.search("red boat", "bytes", "bits")
    assert world.reranker.stored == []
    assert reasons(result) == [("rerank", "TOKEN_VECTORS_MISSING")]


async def test_token_vectors_that_do_not_fit_into_a_request_are_cut_from_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.reranker.model = COLBERT
    await world.make("stored", {"text": MODEL}, [BOATS[0], BOATS[2]], reranker=COLBERT, multi=MULTI)
    first = ids(await world.search("red boat", "stored", rerank=RerankOptions(enabled=False)))[0]
    monkeypatch.setattr("searchmesh.router.reading.MAX_REQUEST_BYTES", 9 * DIMENSIONS)
    result = await world.search("red boat", "stored")
    assert [len(stored.blocks) for stored in world.reranker.stored] == [1]
    assert ids(result)[0] == first
    assert reasons(result) == [("rerank", "REQUEST_FULL")]


# ---- what is known of the reranker


async def test_the_default_model_is_known_by_name(world: World) -> None:
    world.reranker.model = COLBERT
    await world.make("stored", SPACES, BOATS, multi=MULTI)
    await world.search("red boat", "stored", rerank=RerankOptions(enabled=True))
    assert len(world.reranker.stored) == 1


async def test_without_a_list_of_models_nothing_is_reranked_and_that_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def models(*, timeout_s: float) -> None:
        raise Unavailable("away", reason="AWAY")

    monkeypatch.setattr(world.reranker, "models", models)
    result = await world.search("red boat", "boats", rerank=RERANK)
    assert reasons(result) == [("rerank", "AWAY")]
    with pytest.raises(Unavailable):
        await world.search("red boat", "boats", rerank=RerankOptions(required=True))
