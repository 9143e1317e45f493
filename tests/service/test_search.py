"""The main job on the real mesh: index text, search it in every way, page, filter, delete."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from searchmesh.client import AsyncClient, Document, RerankOptions, number, tag
from searchmesh.runtime.errors import AlreadyExists, InvalidArgument, NotFound

TEXTS = {
    "gzip": ("Compression", "The gzip module reads and writes compressed files, which take less space on disk."),
    "json": ("Serialisation", "Encode objects as JSON text and parse JSON documents from strings or files."),
    "socket": ("Networking", "Open TCP connections to other machines and exchange bytes over the network."),
    "random": ("Chance", "Draw pseudo-random numbers, shuffle lists and choose samples."),
    "thread": ("Concurrency", "Run several functions at the same time with threads, locks and queues."),
    "cat": ("Animals", "The cat sat on the mat and watched the rain through the window."),
}
YEARS = {"gzip": 1992, "json": 2001, "socket": 1983, "random": 1990, "thread": 1995, "cat": -9500}


@pytest.fixture
async def collection(client: AsyncClient) -> AsyncIterator[str]:
    """A collection with the texts above."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    await client.create_collection(name, filter_fields={"kind": "tag", "year": "number"}, reranker="all-MiniLM-L6-v2")
    documents = [
        Document(id, title=title, text=text, metadata={"kind": "animal" if id == "cat" else "code", "year": YEARS[id]})
        for id, (title, text) in TEXTS.items()
    ]
    async for progress in client.index(name, documents):
        assert not progress.errors
    assert progress.indexed == len(TEXTS)
    yield name
    await client.delete_collection(name)


QUESTION = "How can I make a file take less space?"


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
@pytest.mark.parametrize("rerank", [False, True])
async def test_every_way_of_searching_finds_the_answer(
    client: AsyncClient, collection: str, mode: str, rerank: bool
) -> None:
    found = await client.search(collection, QUESTION, mode=mode, rerank=rerank)  # type: ignore[arg-type]
    assert found.hits[0].document.id == "gzip"
    assert found.degraded == ()
    stages = set(found.hits[0].stage_scores)
    assert ("dense.text" in stages) == (mode != "lexical")
    assert ("lexical" in stages) == (mode != "dense")
    assert ("rerank" in stages) == rerank
    assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)


async def test_dense_search_finds_meaning_without_a_common_word(client: AsyncClient, collection: str) -> None:
    found = await client.search(collection, "kitten looking outdoors", mode="dense", rerank=False)
    assert found.hits[0].document.id == "cat"
    assert not (await client.search(collection, "kitten outdoors", mode="lexical", rerank=False)).hits


async def test_filters_choose_among_all_documents(client: AsyncClient, collection: str) -> None:
    found = await client.search(collection, QUESTION, filter=tag("kind", "animal"))
    assert [hit.document.id for hit in found.hits] == ["cat"]
    found = await client.search(collection, QUESTION, filter=number("year", gte=1990, lt=1995) & ~tag("kind", "animal"))
    assert {hit.document.id for hit in found.hits} == {"gzip", "random"}
    with pytest.raises(InvalidArgument) as raised:
        await client.search(collection, QUESTION, filter=tag("colour", "red"))
    assert "colour" in raised.value.message


async def test_pages_follow_each_other_without_gap_or_repetition(client: AsyncClient, collection: str) -> None:
    whole = [hit.document.id for hit in (await client.search(collection, QUESTION)).hits]
    pages = [
        hit.document.id
        for offset in range(0, 6, 2)
        for hit in (await client.search(collection, QUESTION, top_k=2, offset=offset)).hits
    ]
    assert pages == whole
    assert len(set(whole)) == 6


async def test_indexing_again_changes_nothing_and_costs_no_embedding(client: AsyncClient, collection: str) -> None:
    documents = [
        Document(id, title=title, text=text, metadata={"kind": "animal" if id == "cat" else "code", "year": YEARS[id]})
        for id, (title, text) in TEXTS.items()
    ]
    documents[0] = Document("gzip", title="Compression", text="Something else entirely.")
    *_, progress = [progress async for progress in client.index(collection, documents)]
    assert (progress.indexed, progress.unchanged) == (1, 5)


async def test_a_bad_document_is_reported_and_the_others_are_indexed(client: AsyncClient, collection: str) -> None:
    errors = []
    async for progress in client.index(
        collection, [Document("fine", text="good"), Document("", text="no id"), Document("late", text="also good")]
    ):
        errors += progress.errors
    assert (progress.indexed, progress.failed) == (2, 1)
    assert [error.position for error in errors] == [1]


async def test_documents_can_be_fetched_and_deleted(client: AsyncClient, collection: str) -> None:
    fetched = await client.get_documents(collection, ["json", "missing", "cat"])
    assert [document.id for document in fetched] == ["json", "cat"]
    assert fetched[0].metadata["year"] == 2001
    assert await client.delete_documents(collection, ["cat", "missing"]) == 1
    assert (await client.get_collection(collection)).document_count == 5
    found = await client.search(collection, "the cat sat on the mat", rerank=False)
    assert "cat" not in {hit.document.id for hit in found.hits}


@pytest.mark.parametrize(
    "query", ['"', "@title:{x}|y", "-(a b)", "*", "😀", "مرحبا", "the of and", "\\", "a\x00b", "%%%", "$vec => [KNN]"]
)
async def test_any_query_text_is_just_text(client: AsyncClient, collection: str, query: str) -> None:
    found = await client.search(collection, query)
    assert found.degraded == ()


async def test_a_search_says_where_its_time_went(client: AsyncClient, collection: str) -> None:
    found = await client.search(collection, QUESTION)
    assert {"embed", "dense.text", "lexical", "fuse", "fetch", "rerank"} <= set(found.timings)
    assert all(seconds >= 0 for seconds in found.timings.values())


async def test_missing_collections_and_bad_requests_are_named(client: AsyncClient, collection: str) -> None:
    with pytest.raises(NotFound):
        await client.search("no-such-collection", QUESTION)
    with pytest.raises(InvalidArgument):
        await client.search(collection, "")
    with pytest.raises(InvalidArgument):
        await client.search(collection, QUESTION, top_k=5000)
    with pytest.raises(AlreadyExists):
        await client.create_collection(collection, language="german")
    with pytest.raises(NotFound):
        await client.search(collection, QUESTION, rerank=RerankOptions(model="no-such-model", required=True))
