"""What the router adds to a search beyond the stages it waits for."""

from __future__ import annotations

import time
from itertools import islice
from statistics import median

from searchmesh_bench.corpora import collection_of
from searchmesh_bench.figures.figure import Comparison, Figure, at_most
from searchmesh_bench.figures.questions import questions
from searchmesh_bench.mesh import Mesh
from searchmesh_bench.pydocs import corpus
from searchmesh_bench.searches import complete_search

_DOCUMENTS = 5000
_SEARCHES = 500
_WARM_UP = 50


async def search(mesh: Mesh) -> Figure:
    """Latency that the client sees, less the embed, dense and lexical times of the same search's response."""
    documents = corpus()[:_DOCUMENTS]
    collection = await collection_of(mesh.client, "bench-search", documents)
    latencies, waited, worked = [], [], []
    for number, query in enumerate(islice(questions(documents), _WARM_UP + _SEARCHES)):
        start = time.perf_counter()
        found = await complete_search(mesh.client, collection, query, rerank=False)
        latency = time.perf_counter() - start
        if number >= _WARM_UP:
            stage = found.timings
            latencies.append(latency * 1000)
            waited.append((stage["embed"] + max(stage["dense.text"], stage["lexical"])) * 1000)
            worked.append((stage["embed"] + stage["dense.text"] + stage["lexical"]) * 1000)
    p50 = median(latencies)
    return Figure(
        name="search",
        title="Search beyond its own stages",
        measured="search p50, ms",
        reference="stages, ms",
        result="difference, ms",
        comparisons=[
            Comparison(what, p50, median(stages), p50 - median(stages), at_most(5.0))
            for what, stages in (
                ("less embed + the longer of dense and lexical", waited),
                ("less embed + dense + lexical", worked),
            )
        ],
        conditions=[
            f"{len(documents)} passages of the Python documentation, hybrid, 10 hits with their texts, not reranked;"
            f" {_SEARCHES} new queries one after the other; medians.",
            "The stages' times are those of the responses; dense and lexical run at the same time.",
        ],
    )
