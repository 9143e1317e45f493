"""Retrieval quality and latency of each way of searching, on a judged collection."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from searchmesh.client import AsyncClient, RerankOptions
from searchmesh_bench.datasets import Dataset, Query
from searchmesh_bench.latency import Latency
from searchmesh_bench.metrics import ndcg, recall, reciprocal_rank
from searchmesh_bench.searches import complete_search

MODES: Mapping[str, Mapping[str, Any]] = {
    "dense": {"mode": "dense", "rerank": False},
    "lexical": {"mode": "lexical", "rerank": False},
    "hybrid": {"mode": "hybrid", "rerank": False},
    "hybrid+rerank": {"mode": "hybrid", "rerank": RerankOptions(enabled=True, required=True)},
}
"""Arguments of `AsyncClient.search`."""

_DEPTH = 100
"""Results of each search: what Recall@100 needs."""


@dataclass(frozen=True)
class Quality:
    """Means over all queries, and the latency of single searches."""

    ndcg_at_10: float
    recall_at_100: float
    mrr_at_10: float
    latency: Latency


async def evaluate(
    client: AsyncClient, collection: str, dataset: Dataset, on_search: Callable[[], None] = lambda: None
) -> dict[str, Quality]:
    """Measures of each of `MODES`; one search at a time, so that latency is that of a search and not of a queue.

    The modes take turns query by query, so that what else the machine does is shared by all. Before that each query
    is asked once without being measured: all modes find its vector in the cache. `on_search` is called len(MODES) + 1
    times a query. Raises Unavailable if a stage of a search fails.
    """
    for query in dataset.queries:
        await _search(client, collection, query, "dense")
        on_search()
    rankings: dict[str, list[list[str]]] = {mode: [] for mode in MODES}
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    for query in dataset.queries:
        for mode in MODES:
            start = time.perf_counter()
            ranking = await _search(client, collection, query, mode)
            seconds[mode].append(time.perf_counter() - start)
            rankings[mode].append(ranking)
            on_search()
    return {mode: _quality(dataset.queries, rankings[mode], seconds[mode]) for mode in MODES}


async def _search(client: AsyncClient, collection: str, query: Query, mode: str) -> list[str]:
    result = await complete_search(client, collection, query.text, top_k=_DEPTH, ids_only=True, **MODES[mode])
    return [hit.document.id for hit in result.hits]


def _quality(queries: list[Query], rankings: list[list[str]], seconds: list[float]) -> Quality:
    judged = [(ranking, query.grades) for ranking, query in zip(rankings, queries, strict=True)]
    return Quality(
        ndcg_at_10=fmean(ndcg(ranking, grades, 10) for ranking, grades in judged),
        recall_at_100=fmean(recall(ranking, grades, 100) for ranking, grades in judged),
        mrr_at_10=fmean(reciprocal_rank(ranking, grades, 10) for ranking, grades in judged),
        latency=Latency.of(seconds),
    )
