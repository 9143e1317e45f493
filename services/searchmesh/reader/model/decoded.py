"""The decoders of tritonserver as this service sees them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from searchmesh.catalog import Card
from searchmesh.generation import Decoder, Decoders, LoopGuard, Options, Written
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh.triton import Backend
from searchmesh.v1 import models_pb2


class DecodedGenerators:
    """`Generators` of exported models."""

    def __init__(self, settings: ReaderSettings, backend: Backend) -> None:
        self._repository = settings.model_repository
        self._backend = backend
        self._decoders = Decoders(
            settings, backend, _reads_html, default=settings.reader_model, refusal="reads no HTML"
        )

    async def get(self, name: str) -> DecodedGenerator:
        """See `Generators.get`."""
        decoder = self._decoders.get(name)
        if not await self._decoders.ready(name):
            raise FailedPrecondition(
                f"model {decoder.card.name} is exported in {self._repository},"
                " but the inference backend has not loaded it",
                reason="MODEL_NOT_LOADED",
            )
        return DecodedGenerator(decoder)

    async def describe(self) -> list[models_pb2.Model]:
        """See `Generators.describe`."""
        return await self._decoders.describe()

    async def close(self) -> None:
        """See `Generators.close`."""
        self._decoders.close()
        await self._backend.close()


class DecodedGenerator:
    """`Generator` of one exported model."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    @property
    def card(self) -> Card:
        """See `Generator.card`."""
        return self._decoder.card

    @property
    def max_tokens(self) -> int:
        """See `Generator.max_tokens`."""
        return self._decoder.max_tokens

    async def count(self, texts: Sequence[str]) -> list[int]:
        """See `Generator.count`."""
        return await self._decoder.count(texts)

    async def generate(
        self, prompt: str, options: Options, guard: LoopGuard, *, deadline: Deadline
    ) -> AsyncGenerator[str | Written, None]:
        """See `Generator.generate`."""
        options.check()
        tensors = await self._decoder.prompt(prompt)
        async with aclosing(self._decoder.write(tensors, options, deadline=deadline, guard=guard)) as pieces:
            async for piece in pieces:
                yield piece


def _reads_html(card: Card) -> bool:
    return card.generation is not None and card.generation.html is not None
