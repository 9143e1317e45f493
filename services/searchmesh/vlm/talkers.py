"""The models of the service, by name."""

from __future__ import annotations

import asyncio
import logging

from searchmesh.catalog import ExportedModel, ModelRepository, load_card
from searchmesh.encoding import Held
from searchmesh.images import ImageLoader
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument, SearchmeshError
from searchmesh.triton import Backend
from searchmesh.v1 import models_pb2
from searchmesh.vlm.settings import VlmSettings
from searchmesh.vlm.talk import Talker

log = logging.getLogger(__name__)

_WARM_TRY_S = 60.0
_WARM_PAUSE_S = 0.2


def serves(model: ExportedModel) -> bool:
    """Whether a model writes texts about images."""
    return model.card.kind == "generation" and model.card.image is not None


class Talkers:
    """Opens exported models, each when it is first asked for."""

    def __init__(self, settings: VlmSettings, backend: Backend, loader: ImageLoader) -> None:
        self._settings = settings
        self._backend = backend
        self._loader = loader
        self._held = Held(settings.vlm_images_held)
        self._repository = ModelRepository(settings.model_repository)
        self._open: dict[str, Talker] = {}

    def get(self, name: str) -> Talker:
        """The model of that name, the default one for an empty name.

        Raises NotFound (no such model), FailedPrecondition (not exported here) or InvalidArgument (another kind).
        """
        name = name or self._settings.vlm_model
        if name not in self._open:
            load_card(name)
            model = self._repository.load(name)
            if not serves(model):
                raise InvalidArgument("model", f"{name} is of kind {model.card.kind} and writes no texts about images")
            self._open[name] = Talker(model, self._backend, self._loader, self._settings, self._held)
        return self._open[name]

    async def warm(self) -> None:
        """Wait until the backend has the default model and its vision graph, and has run the latter."""
        said = ""
        while True:
            try:
                talker = self.get("")
                if await self._backend.ready(talker.card.name):
                    await talker.warm(Deadline.after(_WARM_TRY_S))
                    return
                problem = f"the backend has not loaded {talker.card.name} yet"
            except SearchmeshError as error:
                problem = error.message
            if problem != said:
                log.warning("not ready: %s", problem)
                said = problem
            await asyncio.sleep(_WARM_PAUSE_S)

    async def describe(self) -> list[models_pb2.Model]:
        """What `Models.List` answers."""
        served = [model for model in self._repository.all() if serves(model)]
        ready = await asyncio.gather(*(self._backend.ready(model.card.name) for model in served))
        return [
            models_pb2.Model(
                name=model.card.name,
                kind=model.card.kind,
                modalities=model.card.modalities,
                max_tokens=model.max_tokens,
                licence=model.card.licence,
                ready=is_ready,
                is_default=model.card.name == self._settings.vlm_model,
            )
            for model, is_ready in zip(served, ready, strict=True)
        ]

    def close(self) -> None:
        """Close all models."""
        for talker in self._open.values():
            talker.close()
