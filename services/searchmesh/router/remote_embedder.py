"""The embedding service behind gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import grpc.aio
import numpy as np

from searchmesh.router.convert import TOKEN_DTYPES, content_to_proto
from searchmesh.router.index import Content, MultiVectors, Space, SpaceName, Vector
from searchmesh.router.ports import Embedded, TokenVectors
from searchmesh.router.remote import Remote, RemoteModels
from searchmesh.router.tasks import passage_task, query_task
from searchmesh.runtime.errors import Internal
from searchmesh.v1 import common_pb2, embedding_pb2, embedding_pb2_grpc


class RemoteEmbedder(RemoteModels):
    """An `Embedder` behind gRPC."""

    def __init__(self, channel: grpc.aio.Channel, *, patience_s: float) -> None:
        super().__init__(channel, Remote("embedding service", patience_s=patience_s))
        self._embed = embedding_pb2_grpc.EmbeddingStub(channel).Embed

    async def embed_query(self, space: Space, query: Content, *, timeout_s: float) -> Vector:
        """See `Embedder`."""
        request = embedding_pb2.EmbedRequest(
            model=space.embedder,
            task=query_task(space.embedder, space.name),
            inputs=[content_to_proto(query)],
            dimensions=space.dimensions,
            truncation=common_pb2.TRUNCATION_END,
            lane=common_pb2.LANE_INTERACTIVE,
        )
        response = await self._remote.call(self._embed, request, timeout_s=timeout_s)
        return _vectors(response.vectors, 1)[0]

    async def embed_passages(self, space: Space, contents: Sequence[Content], *, timeout_s: float) -> Embedded:
        """See `Embedder`."""
        request = embedding_pb2.EmbedRequest(
            model=space.embedder,
            task=passage_task(space.embedder, space.name),
            inputs=[content_to_proto(content) for content in contents],
            dimensions=space.dimensions,
            truncation=common_pb2.TRUNCATION_END,
            lane=common_pb2.LANE_BULK,
        )
        response: embedding_pb2.EmbedResponse = await self._remote.call(self._embed, request, timeout_s=timeout_s)
        vectors = _vectors(response.vectors, len(contents))
        return Embedded(response.model, vectors, _truncated(response))

    async def embed_tokens(self, multi: MultiVectors, contents: Sequence[Content], *, timeout_s: float) -> TokenVectors:
        """See `Embedder`."""
        request = embedding_pb2.EmbedRequest(
            model=multi.embedder,
            task=passage_task(multi.embedder, SpaceName.TEXT),
            inputs=[content_to_proto(content) for content in contents],
            dimensions=multi.dimensions,
            dtype=TOKEN_DTYPES[multi.dtype],
            truncation=common_pb2.TRUNCATION_END,
            multi_vector=True,
            lane=common_pb2.LANE_BULK,
        )
        response: embedding_pb2.EmbedResponse = await self._remote.call(self._embed, request, timeout_s=timeout_s)
        vectors = response.vectors
        blocks = _blocks(vectors, replace(multi, dimensions=vectors.dimensions).row_bytes, len(contents))
        return TokenVectors(response.model, vectors.dimensions, blocks, _truncated(response))


def _truncated(response: embedding_pb2.EmbedResponse) -> list[bool]:
    return [info.truncated for info in response.inputs]


def _vectors(packed: common_pb2.Vectors, count: int) -> list[Vector]:
    vectors = np.frombuffer(packed.data, dtype="<f4")
    if packed.dtype != common_pb2.DTYPE_FLOAT32 or vectors.size != count * packed.dimensions:
        raise Internal("the embedding service did not answer one vector an input", reason="EMBEDDING_ANSWER")
    return list(vectors.reshape(count, packed.dimensions).astype(np.float32, copy=False))


def _blocks(packed: common_pb2.Vectors, row_bytes: int, count: int) -> list[bytes]:
    offsets = [row * row_bytes for row in packed.row_offsets]
    if len(offsets) != count + 1 or offsets[-1] != len(packed.data):
        raise Internal("the embedding service did not answer token vectors for every input", reason="EMBEDDING_ANSWER")
    return [packed.data[start:end] for start, end in pairwise(offsets)]
