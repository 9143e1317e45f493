"""A search from the query to the page: plan, retrieve, fuse, fetch, rerank, cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set

from searchmesh.router.collections import Collections
from searchmesh.router.fusion import Ranking, convex, rrf
from searchmesh.router.index import Collection, Document, Index
from searchmesh.router.plan import plan
from searchmesh.router.query import Degradation, FusionMethod, FusionOptions, Hit, SearchQuery, SearchResult
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
        documents: dict[Key, Document | None] = dict(retrieved.documents)
        degraded = list(retrieved.degraded)
        reordered = Reordered({}, {})
        if ways.reranker is not None:
            head = list(fused)[: query.rerank.depth]
            await self._fetch(head, documents, ways.collections, call)
            found = {key: document for key in head if (document := documents[key])}
            try:
                reordered = await self._reranking.reorder(
                    ways.reranker, query.text, found, retrieved.rankings, fused, call
                )
            except SearchmeshError as error:
                if query.rerank.required or (query.rerank.model and isinstance(error, _MISNAMED)):
                    raise
                degraded.append(Degradation("rerank", error.reason, f"left in fused order: {error.message}"))
        page = _order(fused, reordered.scores)[query.offset : query.end]
        if not query.ids_only:
            await self._fetch(page, documents, ways.collections, call)
            page = [key for key in page if documents[key] is not None]
        tables = _tables(retrieved.rankings, fused, reordered)
        hits = [
            Hit(
                collection=place,
                document=Document(id) if query.ids_only else documents[place, id] or Document(id),
                score=reordered.scores.get((place, id), fused[place, id]),
                stage_scores={stage: table[place, id] for stage, table in tables if (place, id) in table},
            )
            for place, id in page
        ]
        _record(call, degraded)
        return SearchResult(hits, candidates=len(fused), degraded=degraded)

    async def _fetch(
        self,
        keys: Iterable[Key],
        documents: dict[Key, Document | None],
        collections: Sequence[Collection],
        call: Call,
    ) -> None:
        """Add the documents of `keys` that are not there yet; None for those that were deleted meanwhile."""
        missing = [key for key in keys if key not in documents]
        if not missing:
            return
        wanted = [
            (collection, ids)
            for collection in collections
            if (ids := [id for place, id in missing if place == collection.name])
        ]
        with measured(call, "fetch"):
            answers = await asyncio.gather(*(self._index.fetch(collection, ids) for collection, ids in wanted))
        for (collection, ids), answer in zip(wanted, answers, strict=True):
            documents.update(zip(((collection.name, id) for id in ids), answer, strict=True))


_MISNAMED = (NotFound, InvalidArgument, FailedPrecondition)
"""What a reranker answers when the request named a model that cannot be had: the caller's mistake, not a fault."""


def fuse(rankings: Sequence[Ranking[Key]], options: FusionOptions) -> dict[Key, float]:
    """One order out of all rankings, best first."""
    if options.method is FusionMethod.CONVEX:
        return convex(rankings)
    return rrf(rankings, options.rrf_k)


def _order(fused: Mapping[Key, float], reranked: Mapping[Key, float]) -> list[Key]:
    """What was reranked by its new scores, ties in fused order; behind it the rest in fused order."""
    head = sorted((key for key in fused if key in reranked), key=lambda key: -reranked[key])
    return [*head, *(key for key in fused if key not in reranked)]


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
