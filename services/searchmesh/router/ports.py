"""What the router wants of the services it calls. Each raises errors of `runtime.errors`, Unavailable for a dead one.

`timeout_s` is the time that the call may take; when it is over, DeadlineExceeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from searchmesh.router.index import Filter, Vector
from searchmesh.router.query import Degradation, Hit, Mode


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of texts, in their order."""

    model: str
    vectors: Sequence[Vector]
    truncated: Sequence[bool]


class Embedder(Protocol):
    """The embedding service. An empty model is its default one, 0 dimensions are the model's own."""

    async def embed_query(self, model: str, dimensions: int, text: str, *, timeout_s: float) -> Vector:
        """The vector of a search query, before bulk work; what is too long is cut at its end."""
        ...

    async def embed_passages(self, model: str, dimensions: int, texts: Sequence[str], *, timeout_s: float) -> Embedded:
        """The vectors of texts to be found, as bulk work; what is too long is cut at its end."""
        ...


@dataclass(frozen=True, slots=True)
class Reranked:
    """Relevance scores of documents, in the order of the request; higher is better."""

    model: str
    scores: Sequence[float]


class Reranker(Protocol):
    """The reranking service. An empty model is its default one."""

    async def rerank(self, model: str, query: str, documents: Sequence[str], *, timeout_s: float) -> Reranked:
        """How relevant each document is to the query; documents that are too long are cut at their end."""
        ...


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """What a source found, best first. The documents' ids are unique within the source."""

    hits: Sequence[Hit]
    degraded: Sequence[Degradation] = ()


class Source(Protocol):
    """A place outside that implements searchmesh.v1.Retriever."""

    async def retrieve(
        self, text: str, mode: Mode, top_k: int, filter: Filter | None, *, timeout_s: float
    ) -> SourceAnswer:
        """Its best documents for a query."""
        ...
