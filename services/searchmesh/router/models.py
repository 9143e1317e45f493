"""searchmesh.v1.Models of the router: what the services behind it serve."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc.aio

from searchmesh.router.remote import Remote
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import models_pb2, models_pb2_grpc

LIST_TIMEOUT_S = 5.0


class ModelsServicer:
    """Answers searchmesh.v1.Models with the models of the services in order, each model once."""

    def __init__(self, services: Sequence[tuple[str, grpc.aio.Channel]]) -> None:
        self._services = [
            (Remote(name, patience_s=LIST_TIMEOUT_S), models_pb2_grpc.ModelsStub(channel).List)
            for name, channel in services
        ]

    async def List(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:
        """All models. Raises Unavailable if a service is away: a part would look like the whole."""
        timeout_s = call.deadline.bounded(LIST_TIMEOUT_S)
        answers: list[models_pb2.ListModelsResponse] = await asyncio.gather(
            *(remote.call(method, request, timeout_s=timeout_s) for remote, method in self._services)
        )
        models = {model.name: model for answer in reversed(answers) for model in answer.models}
        return models_pb2.ListModelsResponse(models=sorted(models.values(), key=lambda model: model.name.casefold()))
