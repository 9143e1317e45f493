"""Texts and images to vectors: the request, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from searchmesh.client import words
from searchmesh.client.contents import Content, contents_of
from searchmesh.client.streams import Plan, exchange
from searchmesh.client.timings import timings_of
from searchmesh.client.vectors import decoded, dequantised
from searchmesh.runtime.errors import InvalidArgument, SearchmeshError, from_status
from searchmesh.v1 import common_pb2, embedding_pb2

if TYPE_CHECKING:
    from searchmesh.v1.embedding_pb2_grpc import EmbeddingAsyncStub


@dataclass(frozen=True, slots=True)
class InputInfo:
    """What became of one input."""

    tokens: int
    """Tokens that the model read, special tokens and prompt included."""
    truncated: bool
    cached: bool
    """The result came from the cache."""

    @classmethod
    def from_proto(cls, message: common_pb2.InputInfo) -> InputInfo:
        """From the wire."""
        return cls(message.tokens, message.truncated, message.cached)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The part of a text that a vector stands for, ``text[start:end]``."""

    start: int
    end: int
    tokens: int


Chunking: TypeAlias = Literal["sentences"] | int | Sequence[Sequence[int]]
"""Late chunking by sentences, by a number of tokens, or by the ends of the chunks of each text (offsets of characters,
ascending to its length)."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The vectors of one request."""

    model: str
    vectors: NDArray[Any]
    """[n, dimensions], one row per input; for multi-vector output and with chunks the rows of all inputs, one below the
    other (`per_input` splits them). float32, float16, int8 or uint8; for ``dtype="binary"`` uint8 [n, dimensions / 8
    rounded up], eight bits a byte, most significant first. Read-only."""
    dtype: words.DType
    dimensions: int
    row_offsets: tuple[int, ...]
    """Several rows an input: input i owns rows ``row_offsets[i]`` to ``row_offsets[i + 1]``. Else empty."""
    inputs: tuple[InputInfo, ...]
    tokens: int
    """Sum over the inputs, cached ones included."""
    cache: Literal["used", "bypassed"]
    timings: Mapping[str, float]
    """Seconds by stage of the service."""
    chunks: tuple[Chunk, ...] = ()
    """One per row, if chunks were asked for."""

    def per_input(self) -> list[NDArray[Any]]:
        """The rows of each input: [rows of the input, dimensions] if it may have several, else one row each."""
        if not self.row_offsets:
            return [self.vectors[i : i + 1] for i in range(len(self.vectors))]
        return [self.vectors[start:end] for start, end in zip(self.row_offsets, self.row_offsets[1:], strict=False)]

    def float32(self) -> NDArray[np.float32]:
        """`vectors` as float32 [n, dimensions]. int8, uint8 and binary keep directions only and come back as unit
        vectors; the float types come back as they are.
        """
        return dequantised(self.vectors, words.DTYPES[self.dtype], self.dimensions)

    @classmethod
    def from_proto(cls, message: embedding_pb2.EmbedResponse) -> Embeddings:
        """From the wire. Raises Internal if the vectors are no whole number of rows."""
        vectors = message.vectors
        bypassed = message.cache == embedding_pb2.CACHE_STATE_BYPASSED
        return cls(
            model=message.model,
            vectors=decoded(vectors),
            dtype=_DTYPE_WORDS.get(vectors.dtype, "float32"),
            dimensions=vectors.dimensions,
            row_offsets=tuple(vectors.row_offsets),
            inputs=tuple(InputInfo.from_proto(info) for info in message.inputs),
            tokens=message.usage.tokens,
            cache="bypassed" if bypassed else "used",
            timings=timings_of(message.timings),
            chunks=tuple(Chunk(chunk.start, chunk.end, chunk.tokens) for chunk in message.chunks),
        )


_DTYPE_WORDS: Mapping[int, words.DType] = {value: word for word, value in words.DTYPES.items()}  # type: ignore[misc]


@dataclass(frozen=True, eq=False)
class EmbeddedBatch:
    """The outcome of one batch of a stream: a batch that fails does not end the stream."""

    sequence: int
    """Position of the batch in the stream, from 0."""
    outcome: Embeddings | SearchmeshError

    @property
    def embeddings(self) -> Embeddings:
        """The vectors. Raises the batch's error if it failed."""
        if isinstance(self.outcome, SearchmeshError):
            raise self.outcome
        return self.outcome


@dataclass(frozen=True)
class EmbedOptions:
    """How inputs are embedded: everything of a request but the inputs."""

    model: str = ""
    task: str = ""
    dimensions: int = 0
    dtype: words.DType = "float32"
    truncation: words.Truncation = "refuse"
    multi_vector: bool = False
    lane: words.Lane = "interactive"
    bypass_cache: bool = False
    chunking: Chunking | None = None

    def request(self, inputs: Sequence[Content]) -> embedding_pb2.EmbedRequest:
        """For the wire. Raises InvalidArgument for a word that is not known."""
        return embedding_pb2.EmbedRequest(
            model=self.model,
            task=self.task,
            inputs=contents_of("inputs", inputs),
            dimensions=self.dimensions,
            dtype=words.value_of("dtype", self.dtype, words.DTYPES),
            truncation=words.value_of("truncation", self.truncation, words.TRUNCATIONS),
            multi_vector=self.multi_vector,
            lane=words.value_of("lane", self.lane, words.LANES),
            bypass_cache=self.bypass_cache,
            chunking=None if self.chunking is None else _chunking(self.chunking),
        )


def _chunking(chunking: Chunking) -> embedding_pb2.Chunking:
    match chunking:
        case "sentences":
            return embedding_pb2.Chunking(sentences=True)
        case str():
            raise InvalidArgument("chunking", f"is {chunking!r}; it is 'sentences', a number of tokens, or ends")
        case int():
            return embedding_pb2.Chunking(tokens=chunking)
    inputs = [embedding_pb2.ChunkEnds(ends=ends) for ends in chunking]
    return embedding_pb2.Chunking(given=embedding_pb2.GivenChunks(inputs=inputs))


async def embed_batches(
    stub: EmbeddingAsyncStub,
    batches: Iterable[Sequence[Content]] | AsyncIterable[Sequence[Content]],
    options: EmbedOptions,
    timeout_s: float | None,
) -> AsyncGenerator[EmbeddedBatch, None]:
    """The outcome of each batch, in order. See `AsyncClient.embed_stream`."""

    def pack(items: list[Sequence[Content]]) -> embedding_pb2.EmbedRequest:
        return options.request(items[0])

    plan = Plan(stub.EmbedStream, pack, lambda answer: answer.sequence + 1)
    async with aclosing(exchange(plan, batches, timeout_s)) as answers:
        async for base, answer in answers:
            failed = answer.WhichOneof("result") == "error"
            outcome = from_status(answer.error) if failed else Embeddings.from_proto(answer.response)
            yield EmbeddedBatch(base + answer.sequence, outcome)
