"""Searches: the request, how results are fused and reranked, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from searchmesh.client import words
from searchmesh.client.contents import Content, content_of
from searchmesh.client.documents import Document
from searchmesh.client.filters import Filter
from searchmesh.client.timings import timings_of
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import router_pb2


@dataclass(frozen=True)
class Fusion:
    """How the dense and the lexical ranking become one."""

    method: words.FusionMethod = "convex"
    rrf_k: int = 0
    """0: 60."""
    dense_weight: float | None = None
    """0 to 1, the lexical ranking gets the rest; None: 0.5, and more for a query in another language than the
    collection's."""

    def to_proto(self) -> router_pb2.Fusion:
        """For the wire. Raises InvalidArgument for a method that is not known."""
        method = words.value_of("fusion.method", self.method, words.FUSION_METHODS)
        return router_pb2.Fusion(method=method, rrf_k=self.rrf_k, dense_weight=self.dense_weight)


@dataclass(frozen=True)
class RerankOptions:
    """Whether and how the best candidates are read by a reranker."""

    enabled: bool | None = None
    """None: rerank when the collection names a reranker."""
    model: str = ""
    """Empty: the collection's, else the reranking service's default."""
    depth: int = 0
    """Candidates that the reranker reads; 0: 50."""
    required: bool = False
    """Fail instead of answering in fused order when the reranker cannot be had."""

    def to_proto(self) -> router_pb2.Rerank:
        """For the wire."""
        return router_pb2.Rerank(enabled=self.enabled, model=self.model, depth=self.depth, required=self.required)


@dataclass(frozen=True)
class Hit:
    """A document that was found."""

    document: Document
    collection: str
    score: float
    """The reranker's, or its blend, for hits that it read, which are in that order among themselves; else the fused
    one."""
    stage_scores: Mapping[str, float]
    """What each stage gave it: ``dense.<space>`` (cosine), ``lexical`` (BM25), ``fused``, ``rerank``."""


@dataclass(frozen=True)
class Degradation:
    """A stage that failed or was late, and what was done instead."""

    stage: str
    reason: str
    """UPPER_SNAKE_CASE, stable."""
    message: str


@dataclass(frozen=True)
class Route:
    """What a search did with a vector space of a collection, or with its words (``lexical``)."""

    collection: str
    space: str
    searched: bool
    reason: str
    """UPPER_SNAKE_CASE, stable."""
    message: str


@dataclass(frozen=True)
class SearchResult:
    """Documents, best first."""

    hits: tuple[Hit, ...]
    degraded: tuple[Degradation, ...]
    """Empty: all went as asked."""
    timings: Mapping[str, float]
    """Seconds by stage."""
    candidates: int
    """Distinct candidates that were ranked."""
    routes: tuple[Route, ...] = ()
    """Every vector space of the collections: whether it was searched, and why."""

    @classmethod
    def from_proto(cls, message: router_pb2.SearchResponse) -> SearchResult:
        """From the wire."""
        return cls(
            hits=tuple(
                Hit(Document.from_proto(hit.document), hit.collection, hit.score, dict(hit.stage_scores))
                for hit in message.hits
            ),
            degraded=tuple(Degradation(stage.stage, stage.reason, stage.message) for stage in message.degraded),
            timings=timings_of(message.timings),
            candidates=message.candidates,
            routes=tuple(
                Route(route.collection, route.space, route.searched, route.reason, route.message)
                for route in message.routes
            ),
        )


def search_request(
    collections: str | Sequence[str],
    query: Content,
    *,
    mode: words.SearchMode,
    top_k: int,
    offset: int,
    filter: Filter | None,
    fusion: words.FusionMethod | Fusion | None,
    rerank: bool | RerankOptions | None,
    candidates: int,
    ids_only: bool,
    spaces: Sequence[str],
) -> router_pb2.SearchRequest:
    """For the wire. Raises InvalidArgument for a word or a number that cannot be."""
    for field, value, least in (("top_k", top_k, 1), ("offset", offset, 0), ("candidates", candidates, 0)):
        if value < least:
            raise InvalidArgument(field, f"must be at least {least}, got {value}")
    if isinstance(fusion, str):
        fusion = Fusion(fusion)
    if isinstance(rerank, bool):
        rerank = RerankOptions(enabled=rerank)
    return router_pb2.SearchRequest(
        collections=[collections] if isinstance(collections, str) else collections,
        query=content_of(query),
        mode=words.value_of("mode", mode, words.SEARCH_MODES),
        top_k=top_k,
        offset=offset,
        filter=filter.to_proto() if filter else None,
        fusion=fusion.to_proto() if fusion else None,
        rerank=rerank.to_proto() if rerank else None,
        candidates=candidates,
        ids_only=ids_only,
        spaces=[spaces] if isinstance(spaces, str) else spaces,
    )
