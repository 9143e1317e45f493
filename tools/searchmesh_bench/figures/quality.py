"""Whether hybrid search with reranking is at least as good as its best part."""

from __future__ import annotations

import os
from pathlib import Path

from searchmesh.runtime.errors import FailedPrecondition
from searchmesh_bench.corpora import collection_of
from searchmesh_bench.datasets import load
from searchmesh_bench.evaluate import evaluate
from searchmesh_bench.figures.figure import Comparison, Figure, at_least
from searchmesh_bench.mesh import Mesh

_DATASETS = ("cranfield", "scifact")
_FOLDER = "SEARCHMESH_DATA"


async def quality(mesh: Mesh) -> Figure:
    """nDCG@10 of hybrid + rerank against the better of dense and lexical alone.

    Raises FailedPrecondition if SEARCHMESH_DATA names no folder with the judged collections.
    """
    folder = os.environ.get(_FOLDER)
    if not folder or not all((Path(folder) / name).is_dir() for name in _DATASETS):
        raise FailedPrecondition(f"set {_FOLDER} to a folder that holds {' and '.join(_DATASETS)}")
    comparisons, conditions = [], []
    for name in _DATASETS:
        dataset = load(Path(folder) / name)
        found = await evaluate(
            mesh.client, await collection_of(mesh.client, f"eval-{name}", dataset.documents), dataset
        )
        ndcg = {mode: measures.ndcg_at_10 for mode, measures in found.items()}
        best = max(ndcg["dense"], ndcg["lexical"])
        comparisons.append(Comparison(name, ndcg["hybrid+rerank"], best, ndcg["hybrid+rerank"] - best, at_least(0.0)))
        conditions.append(
            f"{name}: {len(dataset.documents)} documents, {len(dataset.queries)} queries;"
            f" {', '.join(f'{mode} {value:.3f}' for mode, value in ndcg.items())}."
        )
    return Figure(
        name="quality",
        title=f"Hybrid search with reranking against its best part, {mesh.model.name}",
        measured="hybrid+rerank, nDCG@10",
        reference="best of dense and lexical",
        result="difference",
        comparisons=comparisons,
        conditions=conditions,
    )
