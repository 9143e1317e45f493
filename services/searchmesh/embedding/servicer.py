"""searchmesh.v1.Embedding: protobuf to domain and back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from searchmesh.batching import Lane
from searchmesh.embedding.dtypes import packed
from searchmesh.embedding.pipeline import Ask, Embedded, Pipeline
from searchmesh.embedding.settings import EmbeddingSettings
from searchmesh.encoding import Output
from searchmesh.encoding.requests import check_texts, lane_of, truncation_of
from searchmesh.runtime.errors import Overloaded, SearchmeshError, to_status
from searchmesh.runtime.rpc import Call
from searchmesh.text import Truncation
from searchmesh.v1 import common_pb2, embedding_pb2


class EmbeddingServicer:
    """Answers searchmesh.v1.Embedding."""

    def __init__(self, pipeline: Pipeline, settings: EmbeddingSettings) -> None:
        self._pipeline = pipeline
        self._settings = settings

    async def Embed(self, request: embedding_pb2.EmbedRequest, call: Call) -> embedding_pb2.EmbedResponse:
        """Vectors of the inputs of one request."""
        return await self._embed(request, call, lane_of(request.lane))

    async def EmbedStream(
        self, requests: AsyncIterator[embedding_pb2.EmbedRequest], call: Call
    ) -> AsyncIterator[embedding_pb2.EmbedStreamResponse]:
        """Vectors of many requests, in order; `stream_window` of them at a time are worked on."""
        window: deque[asyncio.Task[embedding_pb2.EmbedStreamResponse]] = deque()
        sequence = 0
        try:
            async for request in requests:
                window.append(asyncio.create_task(self._answer(sequence, request, call)))
                sequence += 1
                if len(window) == self._settings.stream_window:
                    yield await window.popleft()
            while window:
                yield await window.popleft()
        finally:
            for task in window:
                task.cancel()

    async def _answer(
        self, sequence: int, request: embedding_pb2.EmbedRequest, call: Call
    ) -> embedding_pb2.EmbedStreamResponse:
        own = Call(call.deadline)
        while True:
            try:
                response = await self._embed(request, own, Lane.BULK)
                return embedding_pb2.EmbedStreamResponse(sequence=sequence, response=response)
            except Overloaded as error:
                # A stream has its own brake: the client sends no faster than it is answered.
                await asyncio.sleep(call.deadline.bounded(error.retry_after_s))
                call.deadline.check()
            except SearchmeshError as error:
                return embedding_pb2.EmbedStreamResponse(sequence=sequence, error=to_status(error))

    async def _embed(self, request: embedding_pb2.EmbedRequest, call: Call, lane: Lane) -> embedding_pb2.EmbedResponse:
        texts = check_texts("inputs", request.inputs, self._settings)
        ask = Ask(
            model=request.model,
            task=request.task,
            dimensions=request.dimensions,
            output=Output.TOKENS if request.multi_vector else Output.SENTENCE,
            truncation=truncation_of(request.truncation, Truncation.REFUSE),
            lane=lane,
            bypass_cache=request.bypass_cache,
        )
        return _response(request, await self._pipeline.embed(texts, ask, call), call)


def _response(request: embedding_pb2.EmbedRequest, embedded: Embedded, call: Call) -> embedding_pb2.EmbedResponse:
    dtype = request.dtype or common_pb2.DTYPE_FLOAT32
    with call.stages.measure("encode"):
        vectors = common_pb2.Vectors(
            dtype=dtype, dimensions=embedded.vectors.shape[1], data=packed(embedded.vectors, dtype)
        )
    if request.multi_vector:
        offsets = [0]
        for entry in embedded.entries:
            offsets.append(offsets[-1] + len(entry.vectors))
        vectors.row_offsets.extend(offsets)
    state = embedding_pb2.CACHE_STATE_USED if embedded.cache_used else embedding_pb2.CACHE_STATE_BYPASSED
    return embedding_pb2.EmbedResponse(
        model=embedded.model,
        vectors=vectors,
        inputs=[
            common_pb2.InputInfo(tokens=entry.tokens, truncated=entry.truncated, cached=cached)
            for entry, cached in zip(embedded.entries, embedded.cached, strict=True)
        ],
        usage=common_pb2.Usage(tokens=sum(entry.tokens for entry in embedded.entries)),
        timings=call.stages.to_proto(),
        cache=state,
    )
