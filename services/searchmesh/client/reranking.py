"""Documents by relevance: the request, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from searchmesh.client import words
from searchmesh.client.embeddings import InputInfo
from searchmesh.client.timings import timings_of
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2, reranker_pb2


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One document and how relevant it is."""

    index: int
    """Position in the documents that were sent."""
    relevance_score: float
    """Comparable within one response; the scale is the model's."""
    text: str
    input: InputInfo


@dataclass(frozen=True)
class Ranking:
    """Documents, most relevant first."""

    model: str
    results: tuple[RankedDocument, ...]
    tokens: int
    timings: Mapping[str, float]
    """Seconds by stage of the service."""

    @classmethod
    def from_proto(cls, message: reranker_pb2.RerankResponse, documents: Sequence[str]) -> Ranking:
        """From the wire, with the texts that were sent."""
        results = tuple(
            RankedDocument(
                result.index, result.relevance_score, documents[result.index], InputInfo.from_proto(result.input)
            )
            for result in message.results
        )
        return cls(message.model, results, message.usage.tokens, timings_of(message.timings))


def rerank_request(
    query: str,
    documents: Sequence[str],
    *,
    top_n: int | None,
    model: str,
    truncation: words.Truncation,
    lane: words.Lane,
) -> reranker_pb2.RerankRequest:
    """For the wire. Raises InvalidArgument for a word that is not known."""
    if isinstance(documents, str):
        raise InvalidArgument("documents", "is one string; send a list of texts")
    if top_n is not None and top_n < 1:
        raise InvalidArgument("top_n", f"must be at least 1, got {top_n}")
    return reranker_pb2.RerankRequest(
        model=model,
        query=common_pb2.Content(text=query),
        documents=[common_pb2.Content(text=document) for document in documents],
        top_n=top_n or 0,
        truncation=words.value_of("truncation", truncation, words.TRUNCATIONS),
        lane=words.value_of("lane", lane, words.LANES),
    )
