"""Calls that a model's pool is loaded with: texts of the standard library's documentation, past the cache."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from searchmesh.client import AsyncClient, ClientSettings
from searchmesh.runtime.channels import connect
from searchmesh.runtime.errors import InvalidArgument, Unavailable
from searchmesh.v1.common_pb2 import Content
from searchmesh.v1.embedding_pb2 import EmbedRequest
from searchmesh.v1.embedding_pb2_grpc import EmbeddingStub
from searchmesh.v1.reranker_pb2 import RerankRequest
from searchmesh.v1.reranker_pb2_grpc import RerankerStub
from searchmesh_bench.load import Request
from searchmesh_bench.pydocs import corpus

_SERVICES = {
    "embedding": "embedding",
    "multi_vector": "embedding",
    "reranker": "reranker",
    "reranker_listwise": "reranker",
}
"""The service of each kind of model whose pool counts items."""

_TIMEOUT_S = 60.0

_VARIANTS = 64
"""Different calls that are made in turn."""


@dataclass(frozen=True)
class Shape:
    """What one call holds."""

    items: int
    """Texts, or pairs of one query and as many passages."""
    words: int
    """Of each text, within a quarter: lengths that never vary would never pad."""


@asynccontextmanager
async def calls_of(model: str, shape: Shape, targets: ClientSettings) -> AsyncIterator[Request]:
    """Makes such calls. Nothing is retried: what is refused shall be seen.

    Raises InvalidArgument if no service has the model, or it generates (its pool counts streams, not items).
    """
    service = await _service_of(model, targets)
    texts = _texts(shape, random.Random(0))
    target = targets.embedding_target if service == "embedding" else targets.reranker_target
    async with connect(target, tls=targets.tls, api_key=targets.api_key.get_secret_value(), retry=False) as channel:
        if service == "embedding":
            embed = EmbeddingStub(channel).Embed
            contents = [[Content(text=text) for text in call] for call in texts]
            embeds = [EmbedRequest(model=model, inputs=inputs, bypass_cache=True) for inputs in contents]
            yield lambda number: embed(embeds[number % _VARIANTS], timeout=_TIMEOUT_S)
        else:
            rerank = RerankerStub(channel).Rerank
            query = Content(text="which of these says how it is done")
            reranks = [
                RerankRequest(model=model, query=query, documents=[Content(text=text) for text in call])
                for call in texts
            ]
            yield lambda number: rerank(reranks[number % _VARIANTS], timeout=_TIMEOUT_S)


async def _service_of(model: str, targets: ClientSettings) -> str:
    known: set[str] = set()
    async with AsyncClient(embedding=targets.embedding_target, reranker=targets.reranker_target) as client:
        for service in ("embedding", "reranker"):
            with suppress(Unavailable):
                served = {one.name: one.kind for one in await client.models(service)}
                known |= served.keys()
                if _SERVICES.get(served.get(model, "")) == service:
                    return service
    raise InvalidArgument("model", f"is {model}; the services count items of {', '.join(sorted(known)) or 'none'}")


def _texts(shape: Shape, chance: random.Random) -> Sequence[Sequence[str]]:
    """Texts of each call."""
    words = [word for document in corpus() for word in document.text.split()]

    def text() -> str:
        length = max(1, round(shape.words * chance.uniform(0.75, 1.25)))
        start = chance.randrange(len(words) - length)
        return " ".join(words[start : start + length])

    return [[text() for _ in range(shape.items)] for _ in range(_VARIANTS)]
