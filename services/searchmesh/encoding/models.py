"""searchmesh.v1.Models of a service that runs encoders."""

from __future__ import annotations

from searchmesh.encoding.encoders import Encoders
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import models_pb2


class ModelsServicer:
    """Answers searchmesh.v1.Models."""

    def __init__(self, encoders: Encoders) -> None:
        self._encoders = encoders

    async def List(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:  # noqa: ARG002
        """The models this service can use, and whether the backend has them loaded."""
        return models_pb2.ListModelsResponse(models=await self._encoders.describe())
