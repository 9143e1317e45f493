"""Fakes of what the router calls. Their vectors and scores come from the words of a text, so that order can be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b

import numpy as np

from searchmesh.router.index import Filter, Vector
from searchmesh.router.ports import Embedded, Reranked, SourceAnswer
from searchmesh.router.query import Mode

DIMENSIONS = 32
MODEL = "word-hashes"
BLENDING, PLAIN = "all-MiniLM-L6-v2", "a-cross-encoder"

Behaviour = Callable[[], Awaitable[None]]


def vector_of(text: str) -> Vector:
    """Texts that share words have near vectors."""
    vector = np.full(DIMENSIONS, 1e-3, dtype=np.float32)
    for word in text.lower().split():
        vector[blake2b(word.encode(), digest_size=1).digest()[0] % DIMENSIONS] += 1
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def unit(*components: float) -> Vector:
    """The unit vector of that direction."""
    vector = np.array(components, dtype=np.float32)
    return np.asarray(vector / np.linalg.norm(vector))


async def well() -> None:
    """Behaviour of a service that works."""


def raises(error: Exception) -> Behaviour:
    """Behaviour of a service that fails."""

    async def behave() -> None:
        raise error

    return behave


class FakeEmbedder:
    """Remembers what it was asked. `max_words` is what a passage is cut at."""

    def __init__(self, *, max_words: int = 50) -> None:
        self.behaviour: Behaviour = well
        self.passages: list[list[str]] = []
        self.timeouts: list[float] = []
        self.max_words = max_words
        self.in_flight = 0
        self.most_in_flight = 0

    async def embed_query(self, model: str, dimensions: int, text: str, *, timeout_s: float) -> Vector:
        self.timeouts.append(timeout_s)
        await self.behaviour()
        assert (model, dimensions) == (MODEL, DIMENSIONS)
        return vector_of(text)

    async def embed_passages(self, model: str, dimensions: int, texts: Sequence[str], *, timeout_s: float) -> Embedded:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.behaviour()
            await asyncio.sleep(0.005)
        finally:
            self.in_flight -= 1
        self.passages.append(list(texts))
        words = [text.split() for text in texts]
        return Embedded(
            model or MODEL,
            [vector_of(" ".join(some[: self.max_words])) for some in words],
            [len(some) > self.max_words for some in words],
        )

    @property
    def embedded(self) -> list[str]:
        """All passages so far."""
        return [text for batch in self.passages for text in batch]


class FakeReranker:
    """Scores a document by how often it has the word "good"."""

    def __init__(self, model: str = PLAIN) -> None:
        self.behaviour: Behaviour = well
        self.model = model
        self.calls: list[tuple[str, str, list[str]]] = []
        self.timeouts: list[float] = []

    async def rerank(self, model: str, query: str, documents: Sequence[str], *, timeout_s: float) -> Reranked:
        self.timeouts.append(timeout_s)
        await self.behaviour()
        self.calls.append((model, query, list(documents)))
        return Reranked(self.model, [float(document.split().count("good")) for document in documents])


class FakeSource:
    """Answers what it was given."""

    def __init__(self, answer: SourceAnswer) -> None:
        self.behaviour: Behaviour = well
        self.answer = answer
        self.calls: list[tuple[str, Mode, int, Filter | None]] = []

    async def retrieve(
        self, text: str, mode: Mode, top_k: int, filter: Filter | None, *, timeout_s: float
    ) -> SourceAnswer:
        await self.behaviour()
        self.calls.append((text, mode, top_k, filter))
        return self.answer
