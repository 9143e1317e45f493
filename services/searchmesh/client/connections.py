"""The channels of one client, opened at first use, and the stubs on them."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

import grpc.aio

from searchmesh.client.models import ServiceName
from searchmesh.runtime.channels import connect
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from searchmesh.runtime.tls import Tls
from searchmesh.v1.embedding_pb2_grpc import EmbeddingStub
from searchmesh.v1.models_pb2_grpc import ModelsStub
from searchmesh.v1.reader_pb2_grpc import ReaderStub
from searchmesh.v1.reranker_pb2_grpc import RerankerStub
from searchmesh.v1.router_pb2_grpc import CollectionsStub, DocumentsStub, RouterStub
from searchmesh.v1.vlm_pb2_grpc import VlmStub

if TYPE_CHECKING:
    from searchmesh.v1.embedding_pb2_grpc import EmbeddingAsyncStub
    from searchmesh.v1.models_pb2_grpc import ModelsAsyncStub
    from searchmesh.v1.reader_pb2_grpc import ReaderAsyncStub
    from searchmesh.v1.reranker_pb2_grpc import RerankerAsyncStub
    from searchmesh.v1.router_pb2_grpc import CollectionsAsyncStub, DocumentsAsyncStub, RouterAsyncStub
    from searchmesh.v1.vlm_pb2_grpc import VlmAsyncStub


class Connections:
    """One channel a service, and one for what it says of its models.

    A channel belongs to the event loop that is running when it is first used.
    """

    def __init__(
        self, router: str, embedding: str, reranker: str, reader: str, vlm: str, *, tls: Tls | None, api_key: str
    ) -> None:
        self._targets: dict[str, str] = {
            "router": router,
            "embedding": embedding,
            "reranker": reranker,
            "reader": reader,
            "vlm": vlm,
        }
        self._tls = tls
        self._api_key = api_key
        self._channels: dict[tuple[str, bool], grpc.aio.Channel] = {}
        self._closed = False

    def _channel(self, service: str, *, watch_health: bool = True) -> grpc.aio.Channel:
        if self._closed:
            raise FailedPrecondition("the client is closed", reason="CLIENT_CLOSED")
        if service not in self._targets:
            raise InvalidArgument("service", f"must be one of {', '.join(self._targets)}; got {service!r}")
        key = (service, watch_health)
        if key not in self._channels:
            self._channels[key] = connect(
                self._targets[service], tls=self._tls, api_key=self._api_key, watch_health=watch_health
            )
        return self._channels[key]

    @cached_property
    def embedding(self) -> EmbeddingAsyncStub:
        return EmbeddingStub(self._channel("embedding"))

    @cached_property
    def reranker(self) -> RerankerAsyncStub:
        return RerankerStub(self._channel("reranker"))

    @cached_property
    def reader(self) -> ReaderAsyncStub:
        return ReaderStub(self._channel("reader"))

    @cached_property
    def vlm(self) -> VlmAsyncStub:
        return VlmStub(self._channel("vlm"))

    @cached_property
    def router(self) -> RouterAsyncStub:
        return RouterStub(self._channel("router"))

    @cached_property
    def collections(self) -> CollectionsAsyncStub:
        return CollectionsStub(self._channel("router"))

    @cached_property
    def documents(self) -> DocumentsAsyncStub:
        return DocumentsStub(self._channel("router"))

    def models(self, service: ServiceName) -> ModelsAsyncStub:
        """Also of a service that is not ready yet. Raises InvalidArgument for a service that is not known."""
        return ModelsStub(self._channel(service, watch_health=False))

    async def close(self) -> None:
        """Close all channels; calls in flight are cancelled."""
        self._closed = True
        await asyncio.gather(*(channel.close(None) for channel in self._channels.values()))
