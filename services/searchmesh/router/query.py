"""A search and its answer, in the router's own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from searchmesh.router.fusion import RRF_K
from searchmesh.router.index import Content, Document, Filter, Image
from searchmesh.router.language import FOREIGN_WEIGHT

MAX_QUERY_BYTES = 256 * 1024
MAX_CANDIDATES = 1000
MAX_RERANK_DEPTH = 500
MAX_IMAGE_BYTES = 8 * 1024 * 1024
"""Of all images in one answer; a gRPC message has 16 MiB by default."""

LEXICAL = "lexical"
"""Name of the lexical ranking beside those of the vector spaces."""

STAGES = ("embed", "dense", LEXICAL, "fuse", "fused", "fetch", "rerank")
"""Names in the timings, scores and degradations of searches; those of the vector spaces are ``dense.<space>``."""


def dense_stage(space: str) -> str:
    """Name of the ranking over a vector space."""
    return f"dense.{space}"


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
    """`dense_weight` is from 0 to 1, the lexical ranking has the rest; None: as it is known to be best."""

    method: FusionMethod = FusionMethod.CONVEX
    rrf_k: int = RRF_K
    dense_weight: float | None = None

    @property
    def dense(self) -> float:
        """Weight of a dense ranking."""
        return 1.0 if self.dense_weight is None else 2 * self.dense_weight

    def lexical(self, *, foreign: bool) -> float:
        """Weight of a lexical ranking, for a query in the collection's language or in a foreign one."""
        if self.dense_weight is None:
            return FOREIGN_WEIGHT if foreign else 1.0
        return 2 * (1 - self.dense_weight)


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """`enabled` None: when the collection names a model. `model` empty: the collection's, else the service's."""

    enabled: bool | None = None
    model: str = ""
    depth: int = 50
    required: bool = False


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search that has been checked: limits hold, and offset + top_k does not exceed `candidates`.

    `spaces` empty: those that suit the query.
    """

    content: Content
    collections: Sequence[str]
    mode: Mode = Mode.HYBRID
    top_k: int = 10
    offset: int = 0
    filter: Filter | None = None
    fusion: FusionOptions = FusionOptions()
    rerank: RerankOptions = RerankOptions()
    candidates: int = 100
    ids_only: bool = False
    spaces: Sequence[str] = ()

    @property
    def modality(self) -> str:
        """What a model must read to read the query: ``text`` or ``image``."""
        return "image" if isinstance(self.content, Image) else "text"

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


class RouteReason(StrEnum):
    """Why a vector space, or the lexical index, was searched or not."""

    NAMED = "NAMED"
    READS_THE_QUERY = "READS_THE_QUERY"
    CODE_IN_QUERY = "CODE_IN_QUERY"
    CODE_UNCERTAIN = "CODE_UNCERTAIN"
    NO_OTHER_SPACE = "NO_OTHER_SPACE"
    OTHER_LANGUAGE = "OTHER_LANGUAGE"

    NOT_NAMED = "NOT_NAMED"
    MODE = "MODE"
    CANNOT_READ_THE_QUERY = "CANNOT_READ_THE_QUERY"
    NO_CODE_IN_QUERY = "NO_CODE_IN_QUERY"


@dataclass(frozen=True, slots=True)
class Route:
    """What a search did with a vector space of a collection, or with its lexical index.

    `reason` is one of `RouteReason`, or that of the error for which there is no ranking.
    """

    collection: str
    space: str
    searched: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A result. The reranked ones are in the order of `score`, and so are the others; see `search.ordered`."""

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
    routes: Sequence[Route] = ()
