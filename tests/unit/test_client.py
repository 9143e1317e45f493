"""Calls of the asynchronous client over real gRPC: results, errors, deadlines, retries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

import searchmesh.client
from searchmesh.client import AsyncClient, Fusion, RerankOptions, number, tag
from searchmesh.client.retries import RetryBudget
from searchmesh.runtime.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Overloaded,
    Unavailable,
)
from searchmesh.v1 import router_pb2
from support import fake_mesh
from support.fake_mesh import DIMENSIONS, FakeMesh, vector_of


@pytest.fixture
async def mesh() -> FakeMesh:
    return FakeMesh()


@pytest.fixture
async def client(mesh: FakeMesh) -> AsyncIterator[AsyncClient]:
    async with fake_mesh.running(mesh) as target, AsyncClient(target, target, target, timeout_s=5) as client:
        yield client


def test_the_list_of_public_names_is_complete() -> None:
    module = vars(searchmesh.client)
    public = {
        name
        for name, value in module.items()
        if not name.startswith("_") and not (hasattr(value, "__path__") or hasattr(value, "__file__"))
    }
    assert public == set(searchmesh.client.__all__)


async def test_embeddings_come_with_all_that_the_service_said(client: AsyncClient, mesh: FakeMesh) -> None:
    embeddings = await client.embed(["one", "two words"], model="m", task="t", lane="bulk", bypass_cache=True)
    np.testing.assert_array_equal(embeddings.vectors, np.stack([vector_of("one"), vector_of("two words")]))
    assert embeddings.vectors.dtype == np.float32
    assert (embeddings.model, embeddings.tokens, embeddings.cache) == ("m", 3, "bypassed")
    assert [info.tokens for info in embeddings.inputs] == [1, 2]
    assert embeddings.timings == {"infer": 0.0015}
    assert mesh.embedded[0].task == "t"
    assert len(embeddings.per_input()) == 2


async def test_token_vectors_are_split_by_input(client: AsyncClient) -> None:
    embeddings = await client.embed(["a bc def", "gh"], multi_vector=True, dtype="float16")
    first, second = embeddings.per_input()
    assert first.shape == (3, DIMENSIONS)
    assert second.shape == (1, DIMENSIONS)
    assert first.dtype == np.float16
    np.testing.assert_allclose(embeddings.float32()[3], vector_of("gh"), atol=1e-3)


async def test_a_ranking_has_the_texts_that_were_sent(client: AsyncClient) -> None:
    ranking = await client.rerank("red fish", ["a bird", "a red fish", "a fish"], top_n=2)
    assert [(result.index, result.text) for result in ranking.results] == [(1, "a red fish"), (2, "a fish")]
    assert ranking.results[0].relevance_score == 1.0


async def test_collections_and_documents_come_back_as_they_were_sent(client: AsyncClient) -> None:
    created = await client.create_collection("docs", language="german", filter_fields={"lang": "tag", "year": "number"})
    assert created.filter_fields == {"lang": "tag", "year": "number"}
    assert created.create_time.timestamp() == 1_700_000_000
    metadata = {"year": 2001, "share": 0.5, "tags": ["a", "b"], "nested": {"x": None, "y": True}}
    progress = [p async for p in client.index("docs", [{"id": "1", "text": "some text", "metadata": metadata}])]
    assert progress[-1].indexed == 1
    (document,) = await client.get_documents("docs", ["missing", "1"])
    assert document.metadata == metadata
    assert isinstance(document.metadata["year"], int)
    assert [c.document_count for c in await client.list_collections()] == [1]
    assert (await client.get_collection("docs")).document_count == 1
    assert await client.delete_documents("docs", ["1", "2"]) == 1
    assert await client.delete_collection("docs") == 0


async def test_a_search_is_asked_and_answered_in_full(client: AsyncClient, mesh: FakeMesh) -> None:
    await client.create_collection("docs")
    async for _ in client.index("docs", [{"id": str(i), "text": f"fish {i}", "title": f"t{i}"} for i in range(3)]):
        pass
    mesh.degraded = [router_pb2.Degradation(stage="rerank", reason="LATE", message="fused order")]
    result = await client.search(
        "docs",
        "fish 2",
        mode="dense",
        top_k=2,
        filter=tag("lang", "en") & number("year", gte=2000) & ~tag("state", "draft"),
        fusion=Fusion("convex", dense_weight=0.25),
        rerank=RerankOptions(enabled=True, depth=7),
    )
    assert [hit.document.id for hit in result.hits] == ["2", "0"]
    assert result.hits[0].stage_scores == {"dense.text": 1.0, "fused": 1.0}
    assert result.timings == {"embed": 0.0008, "infer": 0.0015}
    assert (result.candidates, result.degraded[0].reason) == (3, "LATE")
    asked = mesh.searches[0]
    assert asked.mode == router_pb2.SEARCH_MODE_DENSE
    assert asked.fusion.dense_weight == 0.25
    assert (asked.rerank.enabled, asked.rerank.depth) == (True, 7)
    assert len(asked.filter.all.filters) == 3


async def test_models_of_a_service(client: AsyncClient) -> None:
    (model,) = await client.models("embedding")
    assert (model.name, model.dimensions, model.ready) == ("fake", (DIMENSIONS,), True)


async def test_errors_are_those_of_the_tree(client: AsyncClient) -> None:
    with pytest.raises(InvalidArgument) as invalid:
        await client.embed(["fine", ""])
    assert invalid.value.field == "inputs[1].text"
    assert invalid.value.problem == "is empty"
    with pytest.raises(NotFound):
        await client.get_collection("nothing")
    await client.create_collection("docs")
    with pytest.raises(AlreadyExists):
        await client.create_collection("docs")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"dtype": "float64"}, "dtype"), ({"truncation": "middle"}, "truncation"), ({"lane": "fast"}, "lane")],
)
async def test_unknown_words_are_refused_before_the_call(
    client: AsyncClient, mesh: FakeMesh, arguments: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidArgument) as invalid:
        await client.embed(["text"], **arguments)  # type: ignore[arg-type]
    assert invalid.value.field == field
    assert mesh.calls == 0


async def test_a_single_string_is_not_taken_for_a_list(client: AsyncClient) -> None:
    with pytest.raises(InvalidArgument, match="one string"):
        await client.embed("text")
    with pytest.raises(InvalidArgument, match="one string"):
        await client.rerank("query", "text")


async def test_a_message_over_the_limit_is_the_callers_mistake_and_not_retried(
    client: AsyncClient, mesh: FakeMesh
) -> None:
    with pytest.raises(InvalidArgument) as invalid:
        await client.embed(["x" * (5 * 1024 * 1024)])
    assert invalid.value.reason == "MESSAGE_TOO_LARGE"
    assert mesh.calls == 0


async def test_a_call_ends_at_its_deadline(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.hang.clear()
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await client.embed(["text"], timeout_s=0.2)
    assert time.monotonic() - start < 1


async def test_a_shed_call_is_tried_again_after_the_delay_it_was_told(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.failures = [Overloaded("queue is full", retry_after_s=0.2), Overloaded("queue is full", retry_after_s=0.2)]
    start = time.monotonic()
    await client.embed(["text"])
    assert 0.4 <= time.monotonic() - start < 1
    assert mesh.calls == 3


async def test_a_shed_call_is_not_tried_again_beyond_its_deadline(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.failures = [Overloaded("queue is full", retry_after_s=3)]
    start = time.monotonic()
    with pytest.raises(Overloaded) as overloaded:
        await client.embed(["text"], timeout_s=1)
    assert time.monotonic() - start < 0.5
    assert overloaded.value.retry_after_s == 3
    assert mesh.calls == 1


async def test_retries_end_when_the_budget_is_spent(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.failures = [Overloaded("queue is full", retry_after_s=0.001)] * 200
    outcomes = await asyncio.gather(*(client.embed(["text"]) for _ in range(60)), return_exceptions=True)
    assert all(isinstance(outcome, Overloaded) for outcome in outcomes)
    # Sixty calls, the burst of ten, and a tenth of a retry for each call.
    assert 70 <= mesh.calls <= 76


def test_the_budget_is_a_tenth_of_the_calls_in_the_long_run() -> None:
    budget = RetryBudget()
    retries = 0
    for _ in range(1000):
        budget.earn()
        retries += budget.spend()
    assert 100 <= retries <= 110


async def test_other_errors_are_not_tried_again(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.failures = [NotFound("nothing")]
    with pytest.raises(NotFound):
        await client.embed(["text"])
    assert mesh.calls == 1


async def test_unavailable_is_tried_again_by_the_channel(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.failures = [Unavailable("starting")]
    await client.embed(["text"])
    assert mesh.calls == 2


async def test_a_service_that_is_not_there_is_unavailable() -> None:
    async with AsyncClient(embedding="127.0.0.1:1", timeout_s=5) as client:
        with pytest.raises(Unavailable):
            await client.embed(["text"])


async def test_a_closed_client_says_so(client: AsyncClient) -> None:
    await client.close()
    with pytest.raises(FailedPrecondition, match="closed"):
        await client.embed(["text"])


async def test_targets_come_from_the_environment(mesh: FakeMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fake_mesh.running(mesh) as target:
        monkeypatch.setenv("SEARCHMESH_RERANKER_TARGET", target)
        async with AsyncClient() as client:
            assert (await client.rerank("fish", ["fish"])).model == "fake"
