"""Collections with several vector spaces: which definitions are taken, and what is indexed into them."""

from __future__ import annotations

import pytest

from searchmesh.router.index import Collection, Document, Image, MultiVectors, Space, TokenDtype
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.router.indexing import Indexer, IndexingLimits, Progress
from searchmesh.router.window import Arrival
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable
from support.router import BOTH, CLIP, CODE, COLBERT, DIMENSIONS, MODEL, OMNI, TEXT, picture, raises, vector_of
from support.router_world import World

LIMITS = IndexingLimits(batch_documents=8, window=2, embed_timeout_s=5.0, patience_s=0.3, max_image_bytes=1000)
SPACES = (Space("text", "", 0), Space("code", CODE, 0), Space("image", CLIP, 0))


@pytest.fixture
async def world(index: RedisIndex) -> World:
    return World(index)


async def create(world: World, *spaces: Space, multi: MultiVectors | None = None) -> Collection:
    return await world.collections.create(Collection("c", spaces, "english", multi_vectors=multi), Deadline())


async def run(world: World, collection: Collection, *documents: Document) -> Progress:
    async def arriving() -> object:
        yield [Arrival(position, document) for position, document in enumerate(documents)]

    indexer = Indexer(world.index, world.embedder, LIMITS)
    return [progress async for progress in indexer.run(collection, arriving())][-1]  # type: ignore[arg-type]


async def test_models_sizes_and_what_they_read_are_filled_in(world: World) -> None:
    collection = await create(world, *SPACES, multi=MultiVectors(COLBERT, 0, TokenDtype.BINARY))
    assert collection.spaces == (
        Space("text", MODEL, DIMENSIONS, TEXT),
        Space("code", CODE, DIMENSIONS, TEXT),
        Space("image", CLIP, DIMENSIONS, BOTH),
    )
    assert collection.multi_vectors == MultiVectors(COLBERT, DIMENSIONS, TokenDtype.BINARY, TEXT)
    assert await world.index.get_collection("c") == collection


async def test_each_model_shows_that_it_can_be_had_for_what_it_is_wanted(world: World) -> None:
    await create(world, *SPACES, multi=MultiVectors(COLBERT, 0))
    assert world.embedder.asked == [
        ("word-hashes", "text", "dimensions"),
        (CODE, "code", "dimensions"),
        (CLIP, "image", "<image of 75 bytes>"),
        (COLBERT, "tokens", "dimensions"),
    ]


async def test_the_same_definition_is_found_and_another_refused(world: World) -> None:
    collection = await create(world, *SPACES, multi=MultiVectors(COLBERT, 0))
    assert await create(world, *SPACES, multi=MultiVectors(COLBERT, 0)) == collection
    for spaces, multi in ((SPACES, None), (SPACES[:2], MultiVectors(COLBERT, 0))):
        with pytest.raises(AlreadyExists):
            await create(world, *spaces, multi=multi)


@pytest.mark.parametrize(
    ("spaces", "field", "problem"),
    [
        ((Space("video", "", 0),), "collection.spaces[0].name", "'video' is not one of: text, code, image"),
        ((Space("", "", 0),), "collection.spaces[0].name", "'' is not one of: text, code, image"),
        ((Space("image", CLIP, 0), Space("image", OMNI, 0)), "collection.spaces", "has two of one name"),
        (
            (SPACES[0], Space("image", "", 0)),
            "collection.spaces[1].embedder",
            f"{MODEL} does not read images; models here that do: {CLIP}, {OMNI}",
        ),
        (
            (Space("text", COLBERT, 0),),
            "collection.spaces[0].embedder",
            f"{COLBERT} has token vectors only; name it in collection.multi_vectors",
        ),
        (
            (SPACES[0], Space("image", CLIP, 100)),
            "collection.spaces[1].dimensions",
            f"{CLIP} has {DIMENSIONS}; 100 is not it",
        ),
    ],
)
async def test_a_space_that_cannot_be_is_refused_by_its_field(
    world: World, spaces: tuple[Space, ...], field: str, problem: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await create(world, *spaces)
    assert (caught.value.field, caught.value.problem) == (field, problem)
    assert await world.collections.list() == []


async def test_token_vectors_need_a_model_that_has_some(world: World) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await create(world, multi=MultiVectors(CLIP, 0))
    assert (caught.value.field, caught.value.problem) == (
        "collection.multi_vectors.embedder",
        f"{CLIP} has no token vectors",
    )


async def test_an_unknown_model_is_named_with_its_field(world: World) -> None:
    for spaces, multi, field in (
        ((SPACES[0], Space("image", "clop", 0)), None, "collection.spaces[1].embedder"),
        ((), MultiVectors("clop", 0), "collection.multi_vectors.embedder"),
    ):
        with pytest.raises(NotFound, match="no model is named 'clop'") as caught:
            await create(world, *spaces, multi=multi)
        assert caught.value.message.startswith(f"{field}: ")


async def test_without_the_embedding_service_there_is_no_new_collection(world: World) -> None:
    world.embedder.behaviour = raises(Unavailable("away"))
    with pytest.raises(Unavailable):
        await create(world, *SPACES)
    assert await world.collections.list() == []


# ---- indexing


async def test_a_document_has_vectors_of_what_it_has(world: World) -> None:
    collection = await create(world, *SPACES, multi=MultiVectors(COLBERT, 0))
    world.embedder.asked.clear()
    progress = await run(
        world,
        collection,
        Document("text", "", "words"),
        Document("image", image=picture("a boat")),
        Document("both", "", "more words", {}, picture("a ship")),
    )
    assert (progress.indexed, progress.failed) == (3, 0)
    assert set(world.embedder.asked) == {
        (MODEL, "text", "words"),
        (MODEL, "text", "more words"),
        (CODE, "code", "words"),
        (CODE, "code", "more words"),
        (CLIP, "image", "a boat"),
        (CLIP, "image", "a ship"),
        (COLBERT, "tokens", "words"),
        (COLBERT, "tokens", "more words"),
    }
    tokens = await world.index.token_vectors(collection, ["text", "image", "both"])
    assert [tokens and len(tokens) for tokens in tokens] == [DIMENSIONS, None, 2 * DIMENSIONS]
    found = await world.index.dense(collection, "image", vector_of("a boat"), 5)
    assert [match.id for match in found] == ["image", "both"]


async def test_images_are_stored_as_they_were_sent(world: World) -> None:
    collection = await create(world, *SPACES)
    address = Image(url="https://example.org/boat.png")
    await run(world, collection, Document("data", image=picture("a boat")), Document("url", "", "words", {}, address))
    assert await world.index.image_data(collection, ["data", "url"]) == [b"a boat", None]
    assert [one and one.image for one in await world.index.fetch(collection, ["data", "url"])] == [
        Image(unfetched=6),
        address,
    ]


async def test_an_unchanged_image_costs_no_embedding_and_a_changed_one_does(world: World) -> None:
    collection = await create(world, *SPACES)
    await run(world, collection, Document("a", image=picture("a boat")), Document("b", image=picture("a ship")))
    world.embedder.passages.clear()
    progress = await run(
        world, collection, Document("a", image=picture("a boat")), Document("b", image=picture("a raft"))
    )
    assert (progress.indexed, progress.unchanged) == (1, 1)
    assert world.embedder.embedded == ["a raft"]


async def test_an_image_that_cannot_be_read_fails_its_document_alone(world: World) -> None:
    collection = await create(world, *SPACES)
    progress = await run(
        world,
        collection,
        *(Document(f"d{n}", "", f"words {n}", {}, picture("broken" if n == 3 else "a boat")) for n in range(6)),
    )
    assert (progress.indexed, progress.failed) == (5, 1)
    (failure,) = progress.failures
    assert (failure.id, failure.error.message) == ("d3", "image: cannot be read")
    assert await world.index.fetch(collection, ["d3"]) == [None]


async def test_images_that_are_too_large_or_have_no_use_are_refused(world: World) -> None:
    collection = await create(world, *SPACES)
    progress = await run(world, collection, Document("large", image=Image(b"x" * 1001)), Document("none"))
    assert [failure.error.message for failure in progress.failures] == [
        "image.data: has 1001 bytes, the limit is 1000",
        "text: needs a title, a text or an image",
    ]
    texts = await world.collections.create(Collection("texts", (), "english"), Deadline())
    progress = await run(world, texts, Document("d", image=picture("a boat")), Document("e", "", "x", {}, picture("y")))
    assert (progress.indexed, progress.failed) == (1, 1)
    assert "no vector space for images" in progress.failures[0].error.message
