"""Fakes of what the router calls. Their vectors and scores come from the words of a text, so that order can be told.

An image is read as if its data were a text in ASCII: what is in the picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b

import numpy as np

from searchmesh.router.index import Content, Filter, Image, MultiVectors, Space, Vector
from searchmesh.router.ports import Embedded, Model, Reranked, SourceAnswer, StoredVectors, TokenVectors
from searchmesh.router.query import Mode
from searchmesh.runtime.errors import InvalidArgument, NotFound

DIMENSIONS = 32
MODEL = "word-hashes"
CLIP, OMNI, CODE, COLBERT = "jina-clip-v2", "jina-embeddings-v4", "jina-code-embeddings-0.5b", "jina-colbert-v2"
"""Names of the catalog, for their cards' tasks; the vectors are those of all fakes."""

BLENDING, PLAIN, SEEING = "all-MiniLM-L6-v2", "a-cross-encoder", "jina-reranker-m0"

TEXT, BOTH = frozenset({"text"}), frozenset({"text", "image"})

EMBEDDERS = (
    Model(MODEL, TEXT, (DIMENSIONS,), is_default=True),
    Model(CLIP, BOTH, (DIMENSIONS,)),
    Model(OMNI, BOTH, (DIMENSIONS,), multi_vector=True),
    Model(CODE, TEXT, (DIMENSIONS,)),
    Model(COLBERT, TEXT, (), multi_vector=True),
)
RERANKERS = (Model(PLAIN, TEXT, is_default=True), Model(BLENDING, TEXT), Model(SEEING, BOTH), Model(COLBERT, TEXT))

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


def words_of(content: Content) -> str:
    """What a fake reads."""
    return content.data.decode() if isinstance(content, Image) else content


def picture(words: str) -> Image:
    """An image of what the words say."""
    return Image(data=words.encode())


class FakeEmbedder:
    """Remembers what it was asked. `max_words` is what a passage is cut at.

    Content with the word "broken" is refused. A token vector is one byte for each eight dimensions.
    """

    def __init__(self, *, max_words: int = 50) -> None:
        self.behaviour: Behaviour = well
        self.listed: Sequence[Model] = EMBEDDERS
        self.passages: list[list[str]] = []
        self.asked: list[tuple[str, str, str]] = []
        """Model, space and words of every query, and of every passage."""
        self.queries: list[tuple[str, str]] = []
        self.timeouts: list[float] = []
        self.max_words = max_words
        self.knows_its_size = True
        """Other sizes are refused, instead of answered with its own."""
        self.in_flight = 0
        self.most_in_flight = 0

    async def models(self, *, timeout_s: float) -> Sequence[Model]:
        await self.behaviour()
        return self.listed

    async def embed_query(self, space: Space, query: Content, *, timeout_s: float) -> Vector:
        self.timeouts.append(timeout_s)
        await self.behaviour()
        assert space.dimensions == DIMENSIONS
        self.queries.append((space.embedder, words_of(query)))
        return vector_of(words_of(query))

    async def embed_passages(self, space: Space, contents: Sequence[Content], *, timeout_s: float) -> Embedded:
        words = await self._read(space.embedder, space.name, contents)
        if self.knows_its_size and space.dimensions not in (0, DIMENSIONS):
            raise InvalidArgument("dimensions", f"{space.embedder} has {DIMENSIONS}; {space.dimensions} is not it")
        return Embedded(
            space.embedder or MODEL,
            [vector_of(" ".join(some[: self.max_words])) for some in words],
            [len(some) > self.max_words for some in words],
        )

    async def embed_tokens(self, multi: MultiVectors, contents: Sequence[Content], *, timeout_s: float) -> TokenVectors:
        words = await self._read(multi.embedder, "tokens", contents)
        row = (multi.dimensions or DIMENSIONS) if multi.dtype == "int8" else DIMENSIONS // 8
        return TokenVectors(
            multi.embedder,
            multi.dimensions or DIMENSIONS,
            [b"".join(blake2b(word.encode(), digest_size=row).digest() for word in some) for some in words],
            [False for _ in words],
        )

    async def _read(self, model: str, space: str, contents: Sequence[Content]) -> list[list[str]]:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.behaviour()
            await asyncio.sleep(0.005)
        finally:
            self.in_flight -= 1
        if self.listed and model not in {one.name for one in self.listed} | {""}:
            raise NotFound(f"no model is named {model!r}")
        texts = [f"<image of {len(one.data)} bytes>" if _is_sample(one) else words_of(one) for one in contents]
        for number, text in enumerate(texts):
            if "broken" in text.split():
                raise InvalidArgument(f"inputs[{number}]", "cannot be read")
        self.passages.append(texts)
        self.asked += [(model, space, text) for text in texts]
        return [text.split() for text in texts]

    @property
    def embedded(self) -> list[str]:
        """All passages so far."""
        return [text for batch in self.passages for text in batch]


def _is_sample(content: Content) -> bool:
    return isinstance(content, Image) and not content.data.isascii()


class FakeReranker:
    """Scores a document by how often it has the word "good"; stored token vectors by their length."""

    def __init__(self, model: str = PLAIN) -> None:
        self.behaviour: Behaviour = well
        self.model = model
        self.listed: Sequence[Model] = RERANKERS
        self.calls: list[tuple[str, Content, Sequence[Content]]] = []
        self.stored: list[StoredVectors] = []
        self.timeouts: list[float] = []

    async def models(self, *, timeout_s: float) -> Sequence[Model]:
        return [Model(one.name, one.modalities, is_default=one.name == self.model) for one in self.listed]

    async def rerank(
        self, model: str, query: Content, documents: Sequence[Content] | StoredVectors, *, timeout_s: float
    ) -> Reranked:
        self.timeouts.append(timeout_s)
        await self.behaviour()
        if isinstance(documents, StoredVectors):
            self.stored.append(documents)
            return Reranked(model or self.model, [float(len(block)) for block in documents.blocks])
        self.calls.append((model, query, documents))
        return Reranked(self.model, [float(words_of(document).split().count("good")) for document in documents])


class FakeSource:
    """Answers what it was given."""

    def __init__(self, answer: SourceAnswer) -> None:
        self.behaviour: Behaviour = well
        self.answer = answer
        self.calls: list[tuple[Content, Mode, int, Filter | None]] = []

    async def retrieve(
        self, query: Content, mode: Mode, top_k: int, filter: Filter | None, *, timeout_s: float
    ) -> SourceAnswer:
        await self.behaviour()
        self.calls.append((query, mode, top_k, filter))
        return self.answer
