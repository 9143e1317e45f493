"""Streams of documents into a real index: idempotent, in order, patient, and never failing for one document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from searchmesh.router.collections import Collections
from searchmesh.router.index import Collection, Document, FieldType, FilterField, TagIn
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.router.indexing import Indexer, IndexingLimits, Progress
from searchmesh.router.window import Arrival
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Overloaded,
    Unavailable,
)
from support.router import DIMENSIONS, MODEL, FakeEmbedder, raises, vector_of

LIMITS = IndexingLimits(batch_documents=8, window=3, embed_timeout_s=5.0, patience_s=0.6, max_image_bytes=1000)
FIELDS = (FilterField("tag", FieldType.TAG),)


class World:
    def __init__(self, index: RedisIndex) -> None:
        self.index = index
        self.embedder = FakeEmbedder()
        self.collections = Collections(index, self.embedder, reserved={"far"})
        self.collection = Collection("c", (), "english")

    async def create(self) -> None:
        self.collection = await self.collections.create(Collection("c", (), "", FIELDS), Deadline())
        self.embedder.passages.clear()

    async def run(self, *messages: Sequence[Document]) -> list[Progress]:
        indexer = Indexer(self.index, self.embedder, LIMITS)
        return [progress async for progress in indexer.run(self.collection, arriving(messages))]


async def arriving(messages: Sequence[Sequence[Document]]) -> AsyncIterator[list[Arrival]]:
    position = 0
    for message in messages:
        yield [Arrival(position + number, document) for number, document in enumerate(message)]
        position += len(message)


def documents(*numbers: int, text: str = "text") -> list[Document]:
    return [Document(f"d{number}", "", f"{text} {number}") for number in numbers]


@pytest.fixture
async def world(index: RedisIndex) -> World:
    world = World(index)
    await world.create()
    return world


async def test_everything_is_indexed_and_acknowledged_in_order(world: World) -> None:
    progress = await world.run(documents(*range(30)), documents(*range(30, 50)))
    assert [one.acknowledged for one in progress] == sorted({one.acknowledged for one in progress})
    assert progress[-1] == Progress(acknowledged=50, indexed=50)
    assert await world.index.count(world.collection) == 50
    assert 1 < world.embedder.most_in_flight <= LIMITS.window
    assert max(map(len, world.embedder.passages)) <= LIMITS.batch_documents


async def test_what_is_there_unchanged_costs_no_embedding(world: World) -> None:
    await world.run(documents(*range(20)))
    world.embedder.passages.clear()
    progress = await world.run([*documents(*range(10)), *documents(10, 11, text="new"), *documents(99)])
    assert progress[-1] == Progress(acknowledged=13, indexed=3, unchanged=10)
    assert sorted(world.embedder.embedded) == ["new 10", "new 11", "text 99"]


async def test_a_change_of_metadata_alone_is_indexed(world: World) -> None:
    await world.run([Document("d", "", "text", {"tag": "a"})])
    assert (await world.run([Document("d", "", "text", {"tag": "b"})]))[-1].indexed == 1
    found = await world.index.dense(world.collection, "text", vector_of("text"), 5, TagIn("tag", ("b",)))
    assert [match.id for match in found] == ["d"]


async def test_bad_documents_are_reported_one_by_one_and_the_rest_is_indexed(world: World) -> None:
    stream = [
        Document("good", "", "text"),
        Document("", "", "text"),
        Document("empty"),
        Document("tag", "", "text", {"tag": 5}),
        Document("long", "", "x" * 2_000_000),
        Document("last", "", "text"),
    ]
    progress = await world.run(stream)
    assert (progress[-1].acknowledged, progress[-1].indexed, progress[-1].failed) == (6, 2, 4)
    failures = [failure for one in progress for failure in one.failures]
    assert [(failure.position, failure.id) for failure in failures] == [(1, ""), (2, "empty"), (3, "tag"), (4, "long")]
    assert all(isinstance(failure.error, InvalidArgument) for failure in failures)
    assert "metadata.tag" in failures[2].error.message


async def test_a_text_that_the_embedder_refuses_fails_alone(world: World) -> None:
    async def embed_all_but_seven(*arguments: object, **options: float) -> object:
        if any("7" in text for text in arguments[1]):  # type: ignore[attr-defined]
            raise InvalidArgument("inputs[0].text", "is not to its liking")
        return await embed(*arguments, **options)  # type: ignore[arg-type]

    embed, world.embedder.embed_passages = world.embedder.embed_passages, embed_all_but_seven  # type: ignore[method-assign,assignment]
    progress = await world.run(documents(*range(16)))
    assert (progress[-1].indexed, progress[-1].failed) == (15, 1)
    assert [failure.id for one in progress for failure in one.failures] == ["d7"]


async def test_cut_documents_are_counted_and_found_by_their_last_word(world: World) -> None:
    progress = await world.run([Document("d", "", "word " * 60 + "needle")])
    assert progress[-1] == Progress(acknowledged=1, indexed=1, truncated=1)
    assert [match.id for match in await world.index.lexical(world.collection, "needle", 5)] == ["d"]


async def test_of_two_versions_in_one_stream_the_later_stays(world: World) -> None:
    versions = [Document("d", "", f"version {number}") for number in range(10)]
    progress = await world.run(versions)
    assert (progress[-1].acknowledged, progress[-1].indexed) == (10, 10)
    assert await world.index.fetch(world.collection, ["d"]) == [versions[-1]]


async def test_a_slow_sender_is_answered_before_it_sends_more(world: World) -> None:
    answered: asyncio.Queue[Progress] = asyncio.Queue()

    async def send_after_answers() -> AsyncIterator[list[Arrival]]:
        for position, document in enumerate(documents(*range(3))):
            yield [Arrival(position, document)]
            assert (await asyncio.wait_for(answered.get(), 2)).acknowledged == position + 1

    indexer = Indexer(world.index, world.embedder, LIMITS)
    async for progress in indexer.run(world.collection, send_after_answers()):
        answered.put_nowait(progress)


async def test_an_empty_stream_has_no_progress(world: World) -> None:
    assert await world.run() == []
    assert await world.run([], []) == []


@pytest.mark.parametrize(
    "error", [Unavailable("away"), DeadlineExceeded("slow"), Overloaded("full", retry_after_s=0.1)]
)
async def test_a_short_fault_is_waited_out(world: World, error: Exception) -> None:
    world.embedder.behaviour = raises(error)

    async def recover() -> None:
        await asyncio.sleep(0.15)
        world.embedder.behaviour = lambda: asyncio.sleep(0)

    recovery = asyncio.create_task(recover())
    progress = await world.run(documents(*range(5)))
    assert progress[-1] == Progress(acknowledged=5, indexed=5)
    await recovery


@pytest.mark.parametrize("error", [Unavailable("away"), DeadlineExceeded("slow")])
async def test_a_long_fault_ends_the_stream_and_it_resumes_where_it_was(world: World, error: Exception) -> None:
    calls = 0

    async def fail_later() -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise error

    world.embedder.behaviour = fail_later
    indexer = Indexer(world.index, world.embedder, LIMITS)
    seen: list[Progress] = []
    stream = documents(*range(64))

    async def watch() -> None:
        async for one in indexer.run(world.collection, arriving([stream])):
            seen.append(one)  # noqa: PERF401  # what comes before the error counts

    with pytest.raises(Unavailable):
        await watch()
    progress = seen[-1]
    assert progress.acknowledged == progress.indexed == 24
    world.embedder.behaviour = lambda: asyncio.sleep(0)
    resumed = await world.run(stream[progress.acknowledged :])
    assert resumed[-1].acknowledged == 40
    assert await world.index.count(world.collection) == 64


async def test_a_collection_that_is_deleted_meanwhile_ends_the_stream_and_gets_no_documents(
    world: World, index: RedisIndex
) -> None:
    async def delete() -> None:
        await index.delete_collection(world.collection)
        world.embedder.behaviour = lambda: asyncio.sleep(0)

    world.embedder.behaviour = delete
    with pytest.raises(NotFound):
        await world.run(documents(1))
    assert await index.fetch(world.collection, ["d1"]) == [None]


@pytest.mark.parametrize("knows", [True, False])
async def test_a_model_that_changed_its_size_is_not_mixed_in(world: World, knows: bool) -> None:
    world.embedder.knows_its_size = knows
    space = replace(world.collection.spaces[0], dimensions=8)
    world.collection = replace(world.collection, spaces=(space,))
    with pytest.raises(FailedPrecondition, match=f"has {DIMENSIONS}"):
        await world.run(documents(1))


async def test_abandoning_a_stream_cancels_its_batches(world: World) -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    running = Indexer(world.index, world.embedder, LIMITS).run(world.collection, arriving([documents(*range(30))]))
    world.embedder.behaviour = hang
    waiting = asyncio.create_task(anext(running))
    await asyncio.sleep(0.1)
    assert world.embedder.in_flight == LIMITS.window
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert world.embedder.in_flight == 0


# ---- collections


async def test_a_created_collection_has_its_model_and_size_filled_in(world: World) -> None:
    space = world.collection.spaces[0]
    assert (space.name, space.embedder, space.dimensions) == ("text", MODEL, DIMENSIONS)
    assert world.collection.language == "english"
    assert await world.collections.get("c") == world.collection


async def test_creating_the_same_again_finds_it_and_another_is_refused(world: World) -> None:
    assert await world.collections.create(Collection("c", (), "english", FIELDS), Deadline()) == world.collection
    with pytest.raises(AlreadyExists):
        await world.collections.create(Collection("c", (), "german", FIELDS), Deadline())


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Collection("", (), ""), "collection.name"),
        (Collection("a b", (), ""), "collection.name"),
        (Collection("x" * 65, (), ""), "collection.name"),
        (Collection("far", (), ""), "collection.name"),
        (Collection("x", (), "klingon"), "collection.language"),
        (Collection("x", (), "", (*FIELDS, *FIELDS)), "collection.filter_fields"),
        (Collection("x", (), "", (FilterField("", FieldType.TAG),)), "collection.filter_fields[0].name"),
    ],
)
async def test_a_wrong_definition_is_refused_by_its_field(world: World, wanted: Collection, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await world.collections.create(wanted, Deadline())
    assert caught.value.field == field


async def test_a_collection_cannot_be_created_without_its_model(world: World) -> None:
    world.embedder.behaviour = raises(Unavailable("away"))
    with pytest.raises(Unavailable):
        await world.collections.create(Collection("x", (), ""), Deadline())
    with pytest.raises(NotFound):
        await world.collections.get("x")


async def test_deleting_frees_the_name(world: World) -> None:
    await world.run(documents(1, 2))
    assert await world.collections.delete("c") == 2
    with pytest.raises(NotFound):
        await world.collections.get("c")
    await world.create()
    assert [(one.collection.name, one.documents) for one in await world.collections.list()] == [("c", 0)]
