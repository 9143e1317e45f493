"""A search and its answer, in the router's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from searchmesh.router.fusion import RRF_K
from searchmesh.router.index import Document, Filter

MAX_QUERY_BYTES = 256 * 1024
MAX_CANDIDATES = 1000
MAX_RERANK_DEPTH = 500


STAGES = ("embed", "dense", "lexical", "fuse", "fused", "fetch", "rerank")
"""Names in the timings, scores and degradations of every search."""


class Mode(StrEnum):
    """Which retrievers a search uses."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


class FusionMethod(StrEnum):
    """How rankings become one; see `fusion`."""

    RRF = "rrf"
    CONVEX = "convex"


@dataclass(frozen=True, slots=True)
class FusionOptions:
    """`dense_weight` is from 0 to 1; the lexical ranking has the rest."""

    method: FusionMethod = FusionMethod.CONVEX
    rrf_k: int = RRF_K
    dense_weight: float = 0.5

    def weight(self, stage: str) -> float:
        """Weight of a ranking: 1 for all unless the caller shifted it."""
        return {"dense": 2 * self.dense_weight, "lexical": 2 * (1 - self.dense_weight)}.get(stage, 1.0)


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """`enabled` None: when the collection names a model. `model` empty: the collection's, else the service's."""

    enabled: bool | None = None
    model: str = ""
    depth: int = 50
    required: bool = False


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search that has been checked: limits hold, and offset + top_k does not exceed `candidates`."""

    text: str
    collections: Sequence[str]
    mode: Mode = Mode.HYBRID
    top_k: int = 10
    offset: int = 0
    filter: Filter | None = None
    fusion: FusionOptions = FusionOptions()
    rerank: RerankOptions = RerankOptions()
    candidates: int = 100
    ids_only: bool = False

    @property
    def end(self) -> int:
        """Results needed from the top to the end of the page."""
        return self.offset + self.top_k


@dataclass(frozen=True, slots=True)
class Degradation:
    """A stage that failed or was late, and what was done instead."""

    stage: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A result. `score` is what the order comes from: the reranker's where it ran, else the fused one."""

    collection: str
    document: Document
    score: float
    stage_scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits of a page, best first, and how they came about."""

    hits: Sequence[Hit]
    candidates: int
    degraded: Sequence[Degradation] = ()
