"""searchmesh.v1.Models of a service that runs decoders."""

from __future__ import annotations

from typing import Protocol

from searchmesh.runtime.rpc import Call
from searchmesh.v1 import models_pb2


class Described(Protocol):
    """Models that can be listed, such as `Decoders`."""

    async def describe(self) -> list[models_pb2.Model]:
        """What `Models.List` answers."""
        ...


class ModelsServicer:
    """Answers searchmesh.v1.Models."""

    def __init__(self, models: Described) -> None:
        self._models = models

    async def List(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:  # noqa: ARG002
        """The models that this service can use, and whether the backend has them loaded. There may be none."""
        return models_pb2.ListModelsResponse(models=await self._models.describe())
