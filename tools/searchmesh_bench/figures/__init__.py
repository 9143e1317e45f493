"""The figures that the mesh must reach, each measured with both sides in one run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from searchmesh_bench.figures.cache import cache
from searchmesh_bench.figures.decoding import decoding
from searchmesh_bench.figures.drafting import drafting
from searchmesh_bench.figures.embedding import embedding
from searchmesh_bench.figures.exporting import exporting
from searchmesh_bench.figures.figure import Comparison, Figure
from searchmesh_bench.figures.graphs_qwen import graphs_qwen
from searchmesh_bench.figures.graphs_xlm import graphs_xlm
from searchmesh_bench.figures.indexing import indexing
from searchmesh_bench.figures.memory import memory
from searchmesh_bench.figures.quality import quality
from searchmesh_bench.figures.reader import reader
from searchmesh_bench.figures.reranking import reranking
from searchmesh_bench.figures.search import search
from searchmesh_bench.figures.vision import vision
from searchmesh_bench.mesh import Mesh, own_mesh, running_mesh

__all__ = ["FIGURES", "Comparison", "Figure", "Mesh", "own_mesh", "running_mesh"]

FIGURES: Mapping[str, Callable[[Mesh], Awaitable[Figure]]] = {
    measure.__name__: measure
    for measure in (
        embedding,
        cache,
        search,
        reranking,
        reader,
        indexing,
        quality,
        memory,
        exporting,
        graphs_xlm,
        graphs_qwen,
        vision,
        decoding,
        drafting,
    )
}
"""Each figure by its name, in the order of the mesh's way: vectors, answers from the cache, searches, then all; at the
end what the mesh has no part in."""
