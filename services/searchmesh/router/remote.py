"""The services that the router calls, behind gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import grpc.aio
import numpy as np

from searchmesh.catalog import load_card
from searchmesh.router.index import Vector
from searchmesh.router.ports import Embedded, Reranked
from searchmesh.runtime.breaker import Breaker
from searchmesh.runtime.errors import DeadlineExceeded, Internal, NotFound, Unavailable, from_rpc_error
from searchmesh.runtime.telemetry import inject
from searchmesh.v1 import common_pb2, embedding_pb2, embedding_pb2_grpc, reranker_pb2, reranker_pb2_grpc


class Remote:
    """Calls to one service: traced, behind one breaker, with errors that say which service it was and no addresses.

    A call that was late counts against the service only if it had `patience_s`; less was the caller's own deadline.
    """

    def __init__(self, name: str, *, patience_s: float) -> None:
        self._name = name
        self._reason = f"{name.upper().replace(' ', '_').replace('-', '_')}_UNAVAILABLE"
        self._patience_s = patience_s
        self._breaker = Breaker(name)

    async def call(self, method: Any, request: Any, *, timeout_s: float) -> Any:
        """The response of a unary method. Raises what the service meant."""
        if not self._breaker.allows():
            raise self._unavailable("has not been answering and is being given a rest")
        try:
            response = await method(request, timeout=timeout_s, metadata=inject())
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            late = isinstance(failure, DeadlineExceeded)
            if isinstance(failure, Unavailable) or (late and timeout_s >= self._patience_s):
                self._breaker.failure()
            elif not late:
                self._breaker.success()
            if late:
                raise DeadlineExceeded(f"the {self._name} did not answer within {timeout_s * 1000:.0f} ms") from error
            # Without a reason of its own the error is gRPC's, and its text names hosts.
            if isinstance(failure, Unavailable) and failure.reason == Unavailable.reason:
                raise self._unavailable("cannot be reached") from error
            raise failure from error
        self._breaker.success()
        return response

    def _unavailable(self, what: str) -> Unavailable:
        return Unavailable(f"the {self._name} {what}", reason=self._reason)


class RemoteEmbedder:
    """An `Embedder` behind gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, patience_s: float) -> None:
        self._remote = Remote("embedding service", patience_s=patience_s)
        self._embed = embedding_pb2_grpc.EmbeddingStub(channel).Embed

    async def embed_query(self, model: str, dimensions: int, text: str, *, timeout_s: float) -> Vector:
        """See `Embedder`."""
        request = embedding_pb2.EmbedRequest(
            model=model,
            task=_task(model, query=True),
            inputs=[common_pb2.Content(text=text)],
            dimensions=dimensions,
            truncation=common_pb2.TRUNCATION_END,
            lane=common_pb2.LANE_INTERACTIVE,
        )
        response = await self._remote.call(self._embed, request, timeout_s=timeout_s)
        return _vectors(response.vectors, 1)[0]

    async def embed_passages(self, model: str, dimensions: int, texts: Sequence[str], *, timeout_s: float) -> Embedded:
        """See `Embedder`."""
        request = embedding_pb2.EmbedRequest(
            model=model,
            task=_task(model, query=False),
            inputs=[common_pb2.Content(text=text) for text in texts],
            dimensions=dimensions,
            truncation=common_pb2.TRUNCATION_END,
            lane=common_pb2.LANE_BULK,
        )
        response: embedding_pb2.EmbedResponse = await self._remote.call(self._embed, request, timeout_s=timeout_s)
        return Embedded(
            model=response.model,
            vectors=_vectors(response.vectors, len(texts)),
            truncated=[info.truncated for info in response.inputs],
        )


class RemoteReranker:
    """A `Reranker` behind gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, patience_s: float) -> None:
        self._remote = Remote("reranking service", patience_s=patience_s)
        self._rerank = reranker_pb2_grpc.RerankerStub(channel).Rerank

    async def rerank(self, model: str, query: str, documents: Sequence[str], *, timeout_s: float) -> Reranked:
        """See `Reranker`."""
        request = reranker_pb2.RerankRequest(
            model=model,
            query=common_pb2.Content(text=query),
            documents=[common_pb2.Content(text=document) for document in documents],
            truncation=common_pb2.TRUNCATION_END,
            lane=common_pb2.LANE_INTERACTIVE,
        )
        response: reranker_pb2.RerankResponse = await self._remote.call(self._rerank, request, timeout_s=timeout_s)
        scores = {result.index: result.relevance_score for result in response.results}
        if scores.keys() != set(range(len(documents))):
            raise Internal("the reranking service did not score every document", reason="RERANKER_ANSWER")
        return Reranked(response.model, [scores[position] for position in range(len(documents))])


@cache
def _task(model: str, *, query: bool) -> str:
    """The task that a model's card names for search. Empty (the model's own default) for a model without card."""
    try:
        card = load_card(model)
    except NotFound:
        return ""
    return (card.query_task if query else card.passage_task) or ""


def _vectors(packed: common_pb2.Vectors, count: int) -> list[Vector]:
    vectors = np.frombuffer(packed.data, dtype="<f4")
    if packed.dtype != common_pb2.DTYPE_FLOAT32 or vectors.size != count * packed.dimensions:
        raise Internal("the embedding service did not answer one vector a text", reason="EMBEDDING_ANSWER")
    return list(vectors.reshape(count, packed.dimensions).astype(np.float32, copy=False))
