"""Evaluation: each way of searching is asked as itself, and a degraded search is measured as nothing."""

from __future__ import annotations

from typing import Any, cast

import pytest

from searchmesh.client import AsyncClient, Degradation, Document, Hit, RerankOptions, SearchResult
from searchmesh.runtime.errors import Unavailable
from searchmesh_bench.datasets import Dataset, Query
from searchmesh_bench.evaluate import MODES, evaluate

DATASET = Dataset(
    "toy", [Document(id, id) for id in "abc"], [Query("1", "first", {"a": 1}), Query("2", "second", {"b": 1})]
)


class Searcher:
    """Finds the relevant document first with reranking, second without, and never by words alone."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bool]] = []
        self.degraded_mode = ""

    async def search(self, collection: str, query: str, *, mode: str, rerank: Any, **rest: Any) -> SearchResult:
        assert rest == {"top_k": 100, "ids_only": True}
        reranked = isinstance(rerank, RerankOptions) and rerank.enabled is True and rerank.required
        self.asked.append((query, mode, reranked))
        relevant = "a" if query == "first" else "b"
        ids = [relevant, "c"] if reranked else ["c", relevant] if mode != "lexical" else ["c"]
        hits = tuple(Hit(Document(id, ""), collection, 1.0, {}) for id in ids)
        degraded = (Degradation("dense", "TIMEOUT", "late"),) if mode == self.degraded_mode else ()
        return SearchResult(hits, degraded, {}, len(hits))


async def test_each_mode_has_its_own_rankings_and_latencies() -> None:
    searcher, searches = Searcher(), 0

    def on_search() -> None:
        nonlocal searches
        searches += 1

    found = await evaluate(cast(AsyncClient, searcher), "toy", DATASET, on_search)
    assert {mode: quality.mrr_at_10 for mode, quality in found.items()} == {
        "dense": 0.5,
        "lexical": 0,
        "hybrid": 0.5,
        "hybrid+rerank": 1,
    }
    assert found["lexical"].recall_at_100 == 0
    assert {quality.latency.count for quality in found.values()} == {2}
    assert searches == len(searcher.asked) == len(DATASET.queries) * (len(MODES) + 1)


async def test_every_query_was_asked_before_it_is_measured() -> None:
    searcher = Searcher()
    await evaluate(cast(AsyncClient, searcher), "toy", DATASET)
    assert searcher.asked[:2] == [("first", "dense", False), ("second", "dense", False)]
    assert searcher.asked[2:6] == [
        ("first", "dense", False),
        ("first", "lexical", False),
        ("first", "hybrid", False),
        ("first", "hybrid", True),
    ]


async def test_a_degraded_search_ends_the_evaluation() -> None:
    searcher = Searcher()
    searcher.degraded_mode = "hybrid"
    with pytest.raises(Unavailable, match="dense: late") as raised:
        await evaluate(cast(AsyncClient, searcher), "toy", DATASET)
    assert raised.value.reason == "TIMEOUT"
