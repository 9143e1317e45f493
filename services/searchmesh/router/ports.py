"""What the router wants of the services it calls. Each raises errors of `runtime.errors`, Unavailable for a dead one.

`timeout_s` is the time that the call may take; when it is over, DeadlineExceeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from searchmesh.router.index import Content, Filter, MultiVectors, Space, Vector
from searchmesh.router.query import Degradation, Hit, Mode


@dataclass(frozen=True, slots=True)
class Model:
    """What a service says of one of its models."""

    name: str
    modalities: frozenset[str] = frozenset({"text"})
    dimensions: Sequence[int] = ()
    """Sizes of its single vectors, ascending; empty: it has none."""

    multi_vector: bool = False
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of what was sent, in its order."""

    model: str
    vectors: Sequence[Vector]
    truncated: Sequence[bool]


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """Token vectors of what was sent, in its order: the rows of each, one below the other, as the index stores them."""

    model: str
    dimensions: int
    blocks: Sequence[bytes]
    truncated: Sequence[bool]


class Embedder(Protocol):
    """The embedding service. An empty model is its default one, 0 dimensions are the model's own."""

    async def models(self, *, timeout_s: float) -> Sequence[Model]:
        """The models that it serves."""
        ...

    async def embed_query(self, space: Space, query: Content, *, timeout_s: float) -> Vector:
        """The vector of a search query, before bulk work; a text that is too long is cut at its end."""
        ...

    async def embed_passages(self, space: Space, contents: Sequence[Content], *, timeout_s: float) -> Embedded:
        """The vectors of what is to be found, as bulk work; a text that is too long is cut at its end."""
        ...

    async def embed_tokens(self, multi: MultiVectors, contents: Sequence[Content], *, timeout_s: float) -> TokenVectors:
        """The token vectors of what is to be reranked later, as bulk work; too long a text is cut at its end."""
        ...


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """Documents to be reranked, as the token vectors that were stored with them."""

    multi: MultiVectors
    blocks: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Reranked:
    """Relevance scores of documents, in the order of the request; higher is better."""

    model: str
    scores: Sequence[float]


class Reranker(Protocol):
    """The reranking service. An empty model is its default one."""

    async def models(self, *, timeout_s: float) -> Sequence[Model]:
        """The models that it serves."""
        ...

    async def rerank(
        self, model: str, query: Content, documents: Sequence[Content] | StoredVectors, *, timeout_s: float
    ) -> Reranked:
        """How relevant each document is to the query; texts that are too long are cut at their end."""
        ...


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """What a source found, best first. The documents' ids are unique within the source."""

    hits: Sequence[Hit]
    degraded: Sequence[Degradation] = ()


class Source(Protocol):
    """A place outside that implements searchmesh.v1.Retriever."""

    async def retrieve(
        self, query: Content, mode: Mode, top_k: int, filter: Filter | None, *, timeout_s: float
    ) -> SourceAnswer:
        """Its best documents for a query."""
        ...
