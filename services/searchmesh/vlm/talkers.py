"""The models of the service, by name."""

from __future__ import annotations

import asyncio
import logging

from searchmesh.catalog import Card
from searchmesh.encoding import Held
from searchmesh.generation import Decoders
from searchmesh.images import ImageLoader
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import SearchmeshError
from searchmesh.sandbox import Pool
from searchmesh.triton import Backend
from searchmesh.v1 import models_pb2
from searchmesh.vlm.settings import VlmSettings
from searchmesh.vlm.sight import Sight
from searchmesh.vlm.talk import Talker

log = logging.getLogger(__name__)

_WARM_TRY_S = 60.0
_WARM_PAUSE_S = 0.2


def serves(card: Card) -> bool:
    """Whether a model writes texts about images."""
    return card.kind == "generation" and card.image is not None


class Talkers:
    """Opens exported models, each when it is first asked for."""

    def __init__(self, settings: VlmSettings, backend: Backend, loader: ImageLoader, checker: Pool) -> None:
        """`checker` has the jobs of `searchmesh.sandbox.json_output`."""
        self._settings = settings
        self._backend = backend
        self._loader = loader
        self._checker = checker
        self._held = Held(settings.vlm_images_held)
        self._decoders = Decoders(
            settings, backend, serves, default=settings.vlm_model, refusal="writes no texts about images"
        )
        self._open: dict[str, Talker] = {}

    def get(self, name: str) -> Talker:
        """The model of that name, the default one for an empty name. Raises what `Decoders.get` raises."""
        decoder = self._decoders.get(name)
        name = decoder.card.name
        if name not in self._open:
            sight = Sight(decoder.model, self._backend, self._loader, self._settings, self._held)
            self._open[name] = Talker(decoder, sight, self._checker)
        return self._open[name]

    async def warm(self) -> None:
        """Wait until the backend has the default model and has run its graphs."""
        said = ""
        while True:
            try:
                talker = self.get("")
                if await self._decoders.ready(""):
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
        return await self._decoders.describe()

    def close(self) -> None:
        """Close all models."""
        self._decoders.close()
