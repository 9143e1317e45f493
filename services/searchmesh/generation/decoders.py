"""The decoders of a service process, by model name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from searchmesh.catalog import Card, ModelRepository, load_card
from searchmesh.generation.decoder import Decoder
from searchmesh.generation.settings import GenerationSettings
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.triton import Backend
from searchmesh.v1 import models_pb2


class Decoders:
    """Opens the exported models that `serves` accepts, each when it is first asked for."""

    def __init__(
        self,
        settings: GenerationSettings,
        backend: Backend,
        serves: Callable[[Card], bool],
        *,
        default: str,
        refusal: str,
    ) -> None:
        """`default` is the model of requests that name none; `refusal` says what is wrong with models that are not
        served."""
        self._settings = settings
        self._backend = backend
        self._serves = serves
        self._default = default
        self._refusal = refusal
        self._repository = ModelRepository(settings.model_repository)
        self._open: dict[str, Decoder] = {}

    def get(self, name: str) -> Decoder:
        """The decoder of a model, the default one for an empty name.

        Raises NotFound (no such model), InvalidArgument (it is not for this service) or FailedPrecondition (not
        exported here).
        """
        name = name or self._default
        decoder = self._open.get(name)
        if decoder is None:
            if not self._serves(card := load_card(name)):
                raise InvalidArgument("model", f"{name} is of kind {card.kind} and {self._refusal}")
            decoder = self._open[name] = Decoder(self._repository.load(name), self._backend, self._settings)
        return decoder

    async def ready(self, name: str) -> bool:
        """Whether the backend has the model, the default one for an empty name, loaded."""
        return await self._backend.ready(name or self._default)

    async def describe(self) -> list[models_pb2.Model]:
        """What `Models.List` answers."""
        served = [model for model in self._repository.all() if self._serves(model.card)]
        ready = await asyncio.gather(*(self._backend.ready(model.name) for model in served))
        return [
            models_pb2.Model(
                name=model.name,
                kind=model.card.kind,
                modalities=model.card.modalities,
                max_tokens=model.max_tokens,
                licence=model.card.licence,
                ready=is_ready,
                is_default=model.name == self._default,
            )
            for model, is_ready in zip(served, ready, strict=True)
        ]

    def close(self) -> None:
        """Close all decoders."""
        for decoder in self._open.values():
            decoder.close()
