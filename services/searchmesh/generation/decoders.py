"""The decoders of a service process, by model name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from searchmesh.catalog import ExportedModel, ModelRepository, load_card
from searchmesh.generation.decoder import Decoder
from searchmesh.generation.settings import GenerationSettings
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.triton import Backend
from searchmesh.v1 import models_pb2


class Decoders:
    """Opens the exported models that `serves` accepts, each when it is first asked for."""

    def __init__(
        self, settings: GenerationSettings, backend: Backend, serves: Callable[[ExportedModel], bool], *, default: str
    ) -> None:
        """`default` is the model of requests that name none."""
        self._settings = settings
        self._backend = backend
        self._serves = serves
        self._default = default
        self._repository = ModelRepository(settings.model_repository)
        self._open: dict[str, Decoder] = {}

    def get(self, name: str) -> Decoder:
        """The decoder of a model, the default one for an empty name.

        Raises NotFound (no such model), FailedPrecondition (not exported here) or InvalidArgument (another kind).
        """
        name = name or self._default
        decoder = self._open.get(name)
        if decoder is None:
            load_card(name)
            model = self._repository.load(name)
            if not self._serves(model):
                raise InvalidArgument(
                    "model", f"{name} is of kind {model.card.kind}, which this service does not serve"
                )
            decoder = self._open[name] = Decoder(model, self._backend, self._settings)
        return decoder

    async def ready(self, name: str) -> bool:
        """Whether the backend has the model, the default one for an empty name, loaded."""
        return await self._backend.ready(name or self._default)

    async def describe(self) -> list[models_pb2.Model]:
        """What `Models.List` answers."""
        served = [model for model in self._repository.all() if self._serves(model)]
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
