"""searchmesh.v1.Models of the reader."""

from __future__ import annotations

from searchmesh.reader.model.generator import Generators
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import models_pb2


class ModelsServicer:
    """Answers searchmesh.v1.Models."""

    def __init__(self, generators: Generators) -> None:
        self._generators = generators

    async def List(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:  # noqa: ARG002
        """The models that read here. None, where the rules are alone."""
        return models_pb2.ListModelsResponse(models=await self._generators.describe())
