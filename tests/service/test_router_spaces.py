"""Searches over texts, code and images: where they go, how their rankings meet, what is missing and what fails."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from searchmesh.router.index import Document, Image
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.router.ports import SourceAnswer
from searchmesh.router.query import FusionMethod, FusionOptions, Hit, Mode, SearchResult
from searchmesh.runtime.errors import IndexUnavailable, InvalidArgument, Unavailable
from support.router import CLIP, CODE, MODEL, OMNI, FakeSource, picture, raises
from support.router_world import World, ids

SPACES = {"text": MODEL, "code": CODE, "image": CLIP}
DOCUMENTS = [
    Document("boat", "A boat", "a red boat on the lake"),
    Document("photo", image=picture("a red boat with a sail")),
    Document("both", "Harbour", "ropes and nets", {}, picture("many boats in the harbour")),
    Document("sort", "", "def sort_boats ( boats )"),
]


@pytest.fixture
async def world(index: RedisIndex) -> World:
    world = World(index)
    await world.make("things", SPACES, DOCUMENTS)
    world.embedder.asked.clear()
    return world


def searched(result: SearchResult) -> Mapping[str, bool]:
    return {route.space: route.searched for route in result.routes}


async def test_each_space_has_the_documents_that_have_something_for_it(world: World) -> None:
    result = await world.search("boats", "things", spaces=("text", "code", "image"), mode=Mode.DENSE)
    listed = {
        stage: {hit.document.id for hit in result.hits if stage in hit.stage_scores}
        for stage in ("dense.text", "dense.code", "dense.image")
    }
    assert listed == {
        "dense.text": {"boat", "both", "sort"},
        "dense.code": {"boat", "both", "sort"},
        "dense.image": {"photo", "both"},
    }
    assert set(world.embedder.queries) == {(MODEL, "boats"), (CODE, "boats"), (CLIP, "boats")}


async def test_a_text_finds_texts_and_pictures(world: World) -> None:
    result = await world.search("a red boat", "things")
    assert set(ids(result)[:2]) == {"boat", "photo"}
    assert searched(result) == {"text": True, "code": False, "image": True, "lexical": True}
    found = {hit.document.id: hit for hit in result.hits}
    assert found["photo"].stage_scores.keys() == {"dense.image", "fused"}
    assert found["photo"].document.image == picture("a red boat with a sail")
    assert found["boat"].document == DOCUMENTS[0]
    assert result.degraded == []
    assert {"embed", "dense.text", "dense.image", "lexical", "fuse", "fetch"} == set(world.last.stages.seconds)


async def test_code_is_looked_for_when_the_query_has_signs_of_it(world: World) -> None:
    result = await world.search("def sort_boats", "things")
    assert ids(result)[0] == "sort"
    assert searched(result)["code"]
    assert {(route.space, route.reason) for route in result.routes} >= {("code", "CODE_IN_QUERY")}


@pytest.mark.parametrize("method", FusionMethod)
async def test_the_best_of_either_side_is_on_top(world: World, method: FusionMethod) -> None:
    result = await world.search("red boat", "things", fusion=FusionOptions(method))
    assert set(ids(result)[:2]) == {"boat", "photo"}


async def test_a_picture_finds_pictures(world: World) -> None:
    result = await world.search(picture("a boat with a sail"), "things")
    assert ids(result) == ["photo", "both"]
    assert searched(result) == {"text": False, "code": False, "image": True, "lexical": False}
    assert world.embedder.queries == [(CLIP, "a boat with a sail")]


async def test_a_model_that_reads_both_finds_texts_for_a_picture_and_is_asked_once(world: World) -> None:
    await world.make("omni", {"text": OMNI, "image": OMNI}, DOCUMENTS)
    result = await world.search(picture("a red boat"), "omni")
    assert set(ids(result)[:2]) == {"boat", "photo"}
    assert searched(result) == {"text": True, "image": True, "lexical": False}
    assert world.embedder.queries == [(OMNI, "a red boat")]
    boat = next(hit for hit in result.hits if hit.document.id == "boat")
    assert boat.stage_scores.keys() == {"dense.text", "fused"}


async def test_named_spaces_are_searched_and_no_others(world: World) -> None:
    result = await world.search("a red boat", "things", spaces=("image",), mode=Mode.DENSE)
    assert ids(result) == ["photo", "both"]
    result = await world.search("a red boat", "things", spaces=("code",))
    assert searched(result) == {"text": False, "code": True, "image": False, "lexical": True}


async def test_a_query_that_nothing_can_be_searched_with_is_refused(world: World) -> None:
    await world.fill()
    with pytest.raises(InvalidArgument, match="papers: word-hashes does not read images") as caught:
        await world.search(picture("a boat"), "papers")
    assert caught.value.field == "query.image"
    with pytest.raises(InvalidArgument) as caught:
        await world.search("boat", "things", spaces=("sound",))
    assert caught.value.field == "spaces[0]"


async def test_collections_that_cannot_read_the_query_are_left_out_and_named(world: World) -> None:
    await world.fill()
    result = await world.search(picture("a boat"), "papers", "things")
    assert {hit.collection for hit in result.hits} == {"things"}
    assert [(route.collection, route.reason) for route in result.routes if route.space == "text"] == [
        ("papers", "CANNOT_READ_THE_QUERY"),
        ("things", "CANNOT_READ_THE_QUERY"),
    ]


async def test_a_source_is_asked_with_the_picture(world: World) -> None:
    await world.fill()
    world.sources["far"] = FakeSource(SourceAnswer([Hit("", Document("s", "Far"), 1.0)]))
    query = picture("a boat")
    result = await world.search(query, "papers", "far")
    assert ids(result) == ["s"]
    assert world.sources["far"].calls == [(query, Mode.HYBRID, 100, None)]


async def test_rankings_of_one_space_of_several_collections_are_one(world: World) -> None:
    await world.make("more", {"text": MODEL, "image": CLIP}, [Document("other", image=picture("a red boat"))])
    result = await world.search(picture("a red boat"), "things", "more")
    scores = [hit.stage_scores["dense.image"] for hit in result.hits]
    assert ids(result) == ["other", "photo", "both"]
    assert scores == sorted(scores, reverse=True)
    assert len(world.embedder.queries) == 1


# ---- faults


async def test_a_space_that_fails_is_left_out_and_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = world.index.dense

    async def without_images(collection: object, space: str, *rest: object) -> object:
        if space == "image":
            raise IndexUnavailable("the index did not answer within 500 ms")
        return await dense(collection, space, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(world.index, "dense", without_images)
    result = await world.search("a red boat", "things")
    assert set(ids(result)) == {"boat", "both", "sort"}
    assert [(one.stage, one.reason) for one in result.degraded] == [("dense.image", "INDEX_UNAVAILABLE")]
    (route,) = [route for route in result.routes if route.space == "image"]
    assert (route.searched, route.reason) == (False, "INDEX_UNAVAILABLE")
    assert searched(result)["text"]


async def test_without_vectors_every_space_is_named_and_words_are_left(world: World) -> None:
    world.embedder.behaviour = raises(Unavailable("away", reason="AWAY"))
    result = await world.search("a red boat", "things")
    assert ids(result) == ["boat", "sort"]
    assert {(one.stage, one.reason) for one in result.degraded} == {("dense.text", "AWAY"), ("dense.image", "AWAY")}
    with pytest.raises(Unavailable):
        await world.search(picture("a boat"), "things")


async def test_an_answer_has_so_many_images_and_says_of_how_many_the_data_is_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("searchmesh.router.search.MAX_IMAGE_BYTES", 30)
    result = await world.search(picture("a red boat with a sail"), "things")
    first, second = result.hits
    assert first.document.image == picture("a red boat with a sail")
    assert second.document.image == Image()
    assert [(one.stage, one.reason) for one in result.degraded] == [("fetch", "IMAGES_LEFT_OUT")]
    assert "left out of 1 of the hits" in result.degraded[0].message
    bare = await world.search(picture("a red boat with a sail"), "things", ids_only=True)
    assert [hit.document for hit in bare.hits] == [Document("photo"), Document("both")]
    assert bare.degraded == []
