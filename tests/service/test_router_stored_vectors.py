"""Reranking with stored token vectors on the real mesh: the order is that of the texts, read anew."""

from __future__ import annotations

import uuid

import pytest

from searchmesh.client import AsyncClient, Document, MultiVectors, VectorSpace
from searchmesh.runtime.errors import InvalidArgument
from support.models import MODEL

TEXTS = {
    "gzip": "The gzip module reads and writes compressed files, which take less space on disk.",
    "json": "Encode objects as JSON text and parse JSON documents from strings or files.",
    "socket": "Open TCP connections to other machines and exchange bytes over the network.",
    "random": "Draw pseudo-random numbers, shuffle lists and choose samples.",
    "cat": "The cat sat on the mat and watched the rain through the window.",
}
QUESTION = "How can I make a file take less space?"


@pytest.mark.parametrize(("dtype", "tolerance"), [("int8", 0.02), ("binary", 0.5)])
async def test_stored_token_vectors_rank_as_the_texts_do(client: AsyncClient, dtype: str, tolerance: float) -> None:
    anew, stored = (f"{kind}-{uuid.uuid4().hex[:8]}" for kind in ("anew", "stored"))
    await client.create_collection(anew, reranker=MODEL)
    collection = await client.create_collection(
        stored,
        reranker=MODEL,
        multi_vectors=MultiVectors(MODEL, dtype=dtype),  # type: ignore[arg-type]
    )
    assert collection.multi_vectors == MultiVectors(MODEL, 384, dtype)  # type: ignore[arg-type]
    for name in (anew, stored):
        async for progress in client.index(name, [Document(id, text) for id, text in TEXTS.items()]):
            assert not progress.errors
    expected, found = await client.search(anew, QUESTION), await client.search(stored, QUESTION)
    assert found.degraded == ()
    assert found.hits[0].document.id == expected.hits[0].document.id == "gzip"
    scores = {hit.document.id: hit.stage_scores["rerank"] for hit in expected.hits}
    for hit in found.hits:
        # Sums over the query's ten tokens.
        assert hit.stage_scores["rerank"] == pytest.approx(scores[hit.document.id], abs=10 * tolerance)
    for name in (anew, stored):
        await client.delete_collection(name)


async def test_the_models_of_a_collection_are_checked_by_the_real_services(client: AsyncClient) -> None:
    for options, field in (
        ({"spaces": [VectorSpace("image", MODEL)]}, "collection.spaces[0].embedder"),
        ({"spaces": [VectorSpace("text", MODEL, 100)]}, "collection.spaces[0].dimensions"),
        ({"multi_vectors": MultiVectors(MODEL, 100)}, "collection.multi_vectors.dimensions"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await client.create_collection(f"bad-{uuid.uuid4().hex[:8]}", **options)  # type: ignore[arg-type]
        assert caught.value.field == field
