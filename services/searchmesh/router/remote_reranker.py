"""The reranking service behind gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import grpc.aio

from searchmesh.router.convert import TOKEN_DTYPES, content_to_proto
from searchmesh.router.index import Content
from searchmesh.router.ports import Reranked, StoredVectors
from searchmesh.router.remote import Remote, RemoteModels
from searchmesh.runtime.errors import Internal
from searchmesh.v1 import common_pb2, reranker_pb2, reranker_pb2_grpc


class RemoteReranker(RemoteModels):
    """A `Reranker` behind gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, patience_s: float) -> None:
        super().__init__(channel, Remote("reranking service", patience_s=patience_s))
        self._rerank = reranker_pb2_grpc.RerankerStub(channel).Rerank

    async def rerank(
        self, model: str, query: Content, documents: Sequence[Content] | StoredVectors, *, timeout_s: float
    ) -> Reranked:
        """See `Reranker`."""
        request = reranker_pb2.RerankRequest(
            model=model,
            query=content_to_proto(query),
            truncation=common_pb2.TRUNCATION_END,
            lane=common_pb2.LANE_INTERACTIVE,
        )
        if isinstance(documents, StoredVectors):
            count = len(documents.blocks)
            request.document_vectors.CopyFrom(_packed(documents))
        else:
            count = len(documents)
            request.documents.extend(content_to_proto(document) for document in documents)
        response: reranker_pb2.RerankResponse = await self._remote.call(self._rerank, request, timeout_s=timeout_s)
        scores = {result.index: result.relevance_score for result in response.results}
        if scores.keys() != set(range(count)):
            raise Internal("the reranking service did not score every document", reason="RERANKER_ANSWER")
        return Reranked(response.model, [scores[position] for position in range(count)])


def _packed(documents: StoredVectors) -> common_pb2.Vectors:
    multi = documents.multi
    rows = (len(block) // multi.row_bytes for block in documents.blocks)
    return common_pb2.Vectors(
        dtype=TOKEN_DTYPES[multi.dtype],
        dimensions=multi.dimensions,
        row_offsets=accumulate(rows, initial=0),
        data=b"".join(documents.blocks),
    )
