"""searchmesh.v1.Embedding: protobuf to domain and back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from itertools import accumulate

import numpy as np

from searchmesh.batching import Lane
from searchmesh.embedding.ask import Ask, Chunks
from searchmesh.embedding.dtypes import packed
from searchmesh.embedding.pipeline import Embedded, Pipeline
from searchmesh.embedding.settings import EmbeddingSettings
from searchmesh.encoding import Output
from searchmesh.encoding.requests import check_contents, lane_of, truncation_of
from searchmesh.runtime.errors import InvalidArgument, Overloaded, SearchmeshError, to_status
from searchmesh.runtime.rpc import Call
from searchmesh.text import Truncation, by_ends, by_sentences, by_tokens
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
        contents = check_contents("inputs", request.inputs, self._settings)
        ask = Ask(
            model=request.model,
            task=request.task,
            dimensions=request.dimensions,
            output=Output.TOKENS if request.multi_vector else Output.SENTENCE,
            truncation=truncation_of(request.truncation, Truncation.REFUSE),
            lane=lane,
            bypass_cache=request.bypass_cache,
            chunks=_chunks(request.chunking, len(contents)) if request.HasField("chunking") else None,
        )
        return _response(request, await self._pipeline.embed(contents, ask, call), call)


def _chunks(chunking: embedding_pb2.Chunking, inputs: int) -> Chunks:
    """Raises InvalidArgument for a rule that does not say where chunks end."""
    match chunking.WhichOneof("chunks"):
        case "given":
            given = [list(own.ends) for own in chunking.given.inputs]
            if len(given) != inputs:
                raise InvalidArgument("chunking.given.inputs", f"has {len(given)} entries for {inputs} inputs")
            rule = by_ends(given, lambda position: f"chunking.given.inputs[{position}].ends")
            return Chunks(rule, [np.array(ends, "<u4").tobytes() for ends in given])
        case "sentences" if chunking.sentences:
            return Chunks(by_sentences, [b"sentences"] * inputs)
        case "tokens" if chunking.tokens:
            return Chunks(by_tokens(chunking.tokens), [f"{chunking.tokens} tokens".encode()] * inputs)
    raise InvalidArgument("chunking", "says neither the ends of chunks, nor sentences, nor a number of tokens above 0")


def _response(request: embedding_pb2.EmbedRequest, embedded: Embedded, call: Call) -> embedding_pb2.EmbedResponse:
    dtype = request.dtype or common_pb2.DTYPE_FLOAT32
    with call.stages.measure("encode"):
        vectors = common_pb2.Vectors(
            dtype=dtype, dimensions=embedded.vectors.shape[1], data=packed(embedded.vectors, dtype)
        )
    if request.multi_vector or request.HasField("chunking"):
        vectors.row_offsets.extend(accumulate((len(entry.vectors) for entry in embedded.entries), initial=0))
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
        chunks=[
            embedding_pb2.Chunk(start=start, end=end, tokens=tokens)
            for entry in embedded.entries
            if entry.chunks is not None
            for start, end, tokens in entry.chunks.tolist()
        ],
    )
