"""Documents by relevance: the request, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from searchmesh.client import words
from searchmesh.client.contents import Content, Image, content_of, contents_of
from searchmesh.client.embeddings import InputInfo
from searchmesh.client.timings import timings_of
from searchmesh.client.token_vectors import TokenVectors
from searchmesh.client.vectors import decoded
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import reranker_pb2


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One document and how relevant it is."""

    index: int
    """Position in the documents, or in their vectors, that were sent."""
    relevance_score: float
    """Comparable within one response; the scale is the model's."""
    text: str
    """What was sent; empty for an image, and where only vectors were sent."""
    input: InputInfo
    image: Image | None = None
    vectors: NDArray[np.float32] | None = field(default=None, compare=False)
    """[n, dimensions] of unit length, if they were asked for: one of the document, or one of each token."""


@dataclass(frozen=True)
class Ranking:
    """Documents, most relevant first."""

    model: str
    results: tuple[RankedDocument, ...]
    query: InputInfo
    """What the model read of the query."""
    tokens: int
    """Of the query and of all documents."""
    timings: Mapping[str, float]
    """Seconds by stage of the service."""

    @classmethod
    def from_proto(cls, message: reranker_pb2.RerankResponse, documents: Sequence[Content]) -> Ranking:
        """From the wire, with the documents that were sent. Raises Internal for vectors that cannot be read."""
        vectors = _vectors(message)
        results = []
        for place, result in enumerate(message.results):
            content = documents[result.index] if documents else ""
            results.append(
                RankedDocument(
                    result.index,
                    result.relevance_score,
                    content if isinstance(content, str) else "",
                    InputInfo.from_proto(result.input),
                    content if isinstance(content, Image) else None,
                    vectors[place] if vectors else None,
                )
            )
        query, timings = InputInfo.from_proto(message.query), timings_of(message.timings)
        return cls(message.model, tuple(results), query, message.usage.tokens, timings)


def _vectors(message: reranker_pb2.RerankResponse) -> list[NDArray[np.float32]]:
    """Those of each result; empty where the response has none."""
    if not message.HasField("document_vectors"):
        return []
    rows = decoded(message.document_vectors)
    offsets = message.document_vectors.row_offsets or range(len(rows) + 1)
    return [rows[start:end] for start, end in pairwise(offsets)]


def rerank_request(
    query: Content,
    documents: Sequence[Content],
    *,
    top_n: int | None,
    model: str,
    instruction: str,
    truncation: words.Truncation,
    lane: words.Lane,
    return_document_vectors: bool,
    document_vectors: TokenVectors | None,
) -> reranker_pb2.RerankRequest:
    """For the wire. Raises InvalidArgument for a word that is not known, and for one string in place of a list."""
    if top_n is not None and top_n < 1:
        raise InvalidArgument("top_n", f"must be at least 1, got {top_n}")
    return reranker_pb2.RerankRequest(
        model=model,
        query=content_of(query),
        documents=contents_of("documents", documents),
        top_n=top_n or 0,
        truncation=words.value_of("truncation", truncation, words.TRUNCATIONS),
        lane=words.value_of("lane", lane, words.LANES),
        instruction=instruction,
        return_document_vectors=return_document_vectors,
        document_vectors=None if document_vectors is None else document_vectors.to_proto(),
    )
