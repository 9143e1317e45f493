"""Search on a real, judged collection: good enough, and better together than apart."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from searchmesh.client import AsyncClient
from searchmesh_bench.corpora import collection_of
from searchmesh_bench.datasets import load
from searchmesh_bench.evaluate import evaluate

DATA = os.environ.get("SEARCHMESH_DATA")


@pytest.mark.skipif(not DATA, reason="SEARCHMESH_DATA names no folder of judged collections")
async def test_cranfield_is_searched_better_by_all_stages_than_by_one(client: AsyncClient) -> None:
    dataset = load(Path(str(DATA)) / "cranfield")
    sample = replace(dataset, queries=dataset.queries[:60])
    collection = await collection_of(client, "cranfield", dataset.documents)
    found = await evaluate(client, collection, sample)
    best = max(found["dense"].ndcg_at_10, found["lexical"].ndcg_at_10)
    assert best > 0.4, "plain BM25 without stemming has .48 over all queries"
    assert found["hybrid+rerank"].ndcg_at_10 >= best
    assert found["hybrid"].ndcg_at_10 >= best
    assert found["hybrid"].recall_at_100 > 0.7
