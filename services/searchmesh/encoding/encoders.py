"""The encoders of a service process, by model name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from searchmesh.catalog import ExportedModel, ModelRepository, load_card
from searchmesh.encoding.encoder import Encoder
from searchmesh.encoding.settings import EncodingSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument, SearchmeshError
from searchmesh.triton import Backend
from searchmesh.v1 import models_pb2

log = logging.getLogger(__name__)

_WARM_TRY_S = 60.0
"""Time for one try of a warm-up; a backend that hangs is asked again after it."""

_WARM_PAUSE_S = 0.2


class Encoders:
    """Opens the exported models that `serves` accepts, each when it is first asked for."""

    def __init__(self, settings: EncodingSettings, backend: Backend, serves: Callable[[ExportedModel], bool]) -> None:
        self._settings = settings
        self._backend = backend
        self._serves = serves
        self._repository = ModelRepository(settings.model_repository)
        self._open: dict[str, Encoder] = {}

    def get(self, name: str) -> Encoder:
        """The encoder of a model, the default one for an empty name.

        Raises NotFound (no such model), FailedPrecondition (not exported here) or InvalidArgument (another kind).
        """
        name = name or self._settings.default_model
        encoder = self._open.get(name)
        if encoder is None:
            load_card(name)
            model = self._repository.load(name)
            if not self._serves(model):
                raise InvalidArgument(
                    "model", f"{name} is of kind {model.card.kind}, which this service does not serve"
                )
            encoder = self._open[name] = Encoder(model, self._backend, self._settings)
        return encoder

    async def warm(self) -> None:
        """Wait until the backend has the default model and has run it."""
        said = ""
        while True:
            try:
                encoder = self.get("")
                if await self._backend.ready(encoder.card.name):
                    await encoder.warm(Deadline.after(_WARM_TRY_S))
                    return
                problem = f"the backend has not loaded {encoder.card.name} yet"
            except SearchmeshError as error:
                problem = error.message
            if problem != said:
                log.warning("not ready: %s", problem)
                said = problem
            await asyncio.sleep(_WARM_PAUSE_S)

    async def describe(self) -> list[models_pb2.Model]:
        """What `Models.List` answers."""
        served = [model for model in self._repository.all() if self._serves(model)]
        ready = await asyncio.gather(*(self._backend.ready(model.card.name) for model in served))
        return [
            models_pb2.Model(
                name=model.card.name,
                kind=model.card.kind,
                modalities=model.card.modalities,
                dimensions=model.card.dimensions,
                max_tokens=model.max_tokens,
                tasks=model.card.tasks,
                licence=model.card.licence,
                multi_vector=model.card.multi_vector is not None,
                ready=is_ready,
                is_default=model.card.name == self._settings.default_model,
            )
            for model, is_ready in zip(served, ready, strict=True)
        ]

    def close(self) -> None:
        """Close all encoders."""
        for encoder in self._open.values():
            encoder.close()
