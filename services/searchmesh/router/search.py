"""A search from the query to the page: plan, retrieve, fuse, fetch, rerank, cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from searchmesh.router.collections import Collections
from searchmesh.router.fusion import Ranking, best_side, convex, rrf
from searchmesh.router.index import Document, Image, Index
from searchmesh.router.library import Library
from searchmesh.router.plan import plan
from searchmesh.router.query import (
    MAX_IMAGE_BYTES,
    Degradation,
    FusionMethod,
    FusionOptions,
    Hit,
    SearchQuery,
    SearchResult,
)
from searchmesh.router.reranking import Reordered, Reranking
from searchmesh.router.retrieval import Key, Retrieval, measured
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, NotFound, SearchmeshError
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.telemetry import meter

_degraded = meter().create_counter("router_degraded", description="Stages that failed or were late, by reason.")
_stages = meter().create_histogram("router_stage_duration", unit="s", description="Time of each stage of a search.")


class Searcher:
    """Answers searches over own collections and over `sources`."""

    def __init__(
        self,
        index: Index,
        collections: Collections,
        retrieval: Retrieval,
        reranking: Reranking,
        *,
        sources: Set[str] = frozenset(),
    ) -> None:
        self._index = index
        self._collections = collections
        self._retrieval = retrieval
        self._reranking = reranking
        self._sources = sources

    async def search(self, query: SearchQuery, call: Call) -> SearchResult:
        """The page of results. A stage that fails or is late is done without, and named in `degraded`.

        Raises NotFound and InvalidArgument for what the caller got wrong, the error of a retriever if none of them
        answered, and that of the reranker if it is required.
        """
        ways = await plan(query, self._collections, self._sources)
        retrieved = await self._retrieval.retrieve(ways, query, call)
        with measured(call, "fuse"):
            fused = fuse(retrieved.rankings, query.fusion)
        library = Library(self._index, ways.collections, retrieved.documents, call)
        reordered = Reordered({}, {})
        if ways.reranker is not None:
            reordered = await self._rerank(ways.reranker, query, retrieved.rankings, fused, library, call)
        page = ordered(fused, reordered.scores)[query.offset : query.end]
        degraded = [*retrieved.degraded, *reordered.degraded]
        documents = {key: Document(key[1]) for key in page}
        if not query.ids_only:
            documents = await library.fetch(page)
            documents, without = await _with_images(documents, library)
            degraded += without
        tables = _tables(retrieved.rankings, fused, reordered)
        hits = [
            Hit(
                collection=key[0],
                document=document,
                score=reordered.scores.get(key, fused[key]),
                stage_scores={stage: table[key] for stage, table in tables if key in table},
            )
            for key, document in documents.items()
        ]
        _record(call, degraded)
        return SearchResult(hits, candidates=len(fused), degraded=degraded, routes=retrieved.routes)

    async def _rerank(
        self,
        model: str,
        query: SearchQuery,
        rankings: Sequence[Ranking[Key]],
        fused: Mapping[Key, float],
        library: Library,
        call: Call,
    ) -> Reordered:
        """The best candidates in the reranker's order; nothing but the reason if it cannot be had and need not be."""
        candidates = await library.fetch(list(fused)[: query.rerank.depth])
        try:
            return await self._reranking.reorder(model, query.content, candidates, rankings, fused, library, call)
        except SearchmeshError as error:
            if query.rerank.required or (query.rerank.model and isinstance(error, _MISNAMED)):
                raise
            return Reordered({}, {}, [Degradation("rerank", error.reason, f"left in fused order: {error.message}")])


_MISNAMED = (NotFound, InvalidArgument, FailedPrecondition)
"""What a reranker answers when the request named a model that cannot be had: the caller's mistake, not a fault."""


def fuse(rankings: Sequence[Ranking[Key]], options: FusionOptions) -> dict[Key, float]:
    """One order out of all rankings, best first: out of those of each side, and then of the sides."""
    sides: dict[str, list[Ranking[Key]]] = {}
    for ranking in rankings:
        sides.setdefault(ranking.side, []).append(ranking)
    if options.method is FusionMethod.CONVEX:
        return best_side([convex(side) for side in sides.values()])
    return best_side([rrf(side, options.rrf_k) for side in sides.values()])


def ordered(fused: Mapping[Key, float], reranked: Mapping[Key, float]) -> list[Key]:
    """The candidates that were reranked, best first and ties in fused order, in the places that they have in fused
    order. The others (beyond the reranker's depth, or not to be read by it) keep theirs.
    """
    best = iter(sorted((key for key in fused if key in reranked), key=lambda key: -reranked[key]))
    return [next(best) if key in reranked else key for key in fused]


async def _with_images(
    documents: dict[Key, Document], library: Library
) -> tuple[dict[Key, Document], list[Degradation]]:
    """The documents of a page with the data of their images, as much of it as an answer can hold."""
    images = {key: document.image for key, document in documents.items() if document.image is not None}
    whole = await library.images(images, MAX_IMAGE_BYTES)
    pictured = {
        key: replace(document, image=whole.get(key, Image())) if key in images else document
        for key, document in documents.items()
    }
    if (left := len(images) - len(whole)) == 0:
        return pictured, []
    message = f"data of images was left out of {left} of the hits: an answer holds {MAX_IMAGE_BYTES} bytes of it"
    return pictured, [Degradation("fetch", "IMAGES_LEFT_OUT", message)]


def _tables(
    rankings: Sequence[Ranking[Key]], fused: Mapping[Key, float], reordered: Reordered
) -> list[tuple[str, Mapping[Key, float]]]:
    return [
        *((ranking.stage, ranking.scores) for ranking in rankings),
        ("fused", fused),
        ("rerank", reordered.rerank),
    ]


def _record(call: Call, degraded: Sequence[Degradation]) -> None:
    for one in degraded:
        _degraded.add(1, {"stage": one.stage, "reason": one.reason})
    for stage, seconds in call.stages.seconds.items():
        _stages.record(seconds, {"stage": stage})
