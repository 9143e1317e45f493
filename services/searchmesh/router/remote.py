"""Calls to the services behind the router."""

from __future__ import annotations

from typing import Any

import grpc.aio

from searchmesh.router.ports import Model
from searchmesh.runtime.breaker import Breaker
from searchmesh.runtime.errors import DeadlineExceeded, Unavailable, from_rpc_error
from searchmesh.runtime.telemetry import inject
from searchmesh.v1 import models_pb2, models_pb2_grpc


class Remote:
    """Calls to one service: traced, behind one breaker, with errors that say which service it was and no addresses.

    A call that was late counts against the service only if it had `patience_s`; less was the caller's own deadline.
    """

    def __init__(self, name: str, *, patience_s: float) -> None:
        self._name = name
        self._reason = f"{name.upper().replace(' ', '_').replace('-', '_')}_UNAVAILABLE"
        self._patience_s = patience_s
        self._breaker = Breaker(name)

    async def call(self, method: Any, request: Any, *, timeout_s: float) -> Any:
        """The response of a unary method. Raises what the service meant."""
        if not self._breaker.allows():
            raise self._unavailable("has not been answering and is being given a rest")
        try:
            response = await method(request, timeout=timeout_s, metadata=inject())
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            late = isinstance(failure, DeadlineExceeded)
            if isinstance(failure, Unavailable) or (late and timeout_s >= self._patience_s):
                self._breaker.failure()
            elif not late:
                self._breaker.success()
            if late:
                raise DeadlineExceeded(f"the {self._name} did not answer within {timeout_s * 1000:.0f} ms") from error
            # Without a reason of its own the error is gRPC's, and its text names hosts.
            if isinstance(failure, Unavailable) and failure.reason == Unavailable.reason:
                raise self._unavailable("cannot be reached") from error
            raise failure from error
        self._breaker.success()
        return response

    def _unavailable(self, what: str) -> Unavailable:
        return Unavailable(f"the {self._name} {what}", reason=self._reason)


class RemoteModels:
    """searchmesh.v1.Models of a service."""

    def __init__(self, channel: grpc.aio.Channel, remote: Remote) -> None:
        self._remote = remote
        self._list = models_pb2_grpc.ModelsStub(channel).List

    async def models(self, *, timeout_s: float) -> list[Model]:
        """The models that the service serves."""
        request = models_pb2.ListModelsRequest()
        response: models_pb2.ListModelsResponse = await self._remote.call(self._list, request, timeout_s=timeout_s)
        return [
            Model(
                name=model.name,
                modalities=frozenset(model.modalities or ["text"]),
                dimensions=tuple(model.dimensions),
                multi_vector=model.multi_vector,
                is_default=model.is_default,
            )
            for model in response.models
        ]
