"""Sources of candidates outside: anything that implements searchmesh.v1.Retriever."""

from __future__ import annotations

import re
from dataclasses import dataclass

import grpc.aio

from searchmesh.router import convert
from searchmesh.router.index import Content, Filter
from searchmesh.router.ports import SourceAnswer
from searchmesh.router.query import Hit, Mode
from searchmesh.router.remote import Remote
from searchmesh.v1 import router_pb2, router_pb2_grpc

_ADDRESS = re.compile(r"(?P<name>[\w-]{1,64})=(?P<target>(?:[a-z]+:///)?[^/\s]+)(?:/(?P<collection>\S+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """Where a source is, and what it calls the collection to be searched."""

    name: str
    target: str
    collection: str

    @classmethod
    def parse(cls, text: str) -> SourceAddress:
        """From ``name=target`` or ``name=target/collection``; without one the collection is called as the source."""
        match = _ADDRESS.fullmatch(text)
        if match is None:
            raise ValueError(f"source {text!r} is not of the form name=target or name=target/collection")
        return cls(match["name"], match["target"], match["collection"] or match["name"])


class RemoteSource:
    """A `Source` behind gRPC."""

    def __init__(self, address: SourceAddress, channel: grpc.aio.Channel, *, patience_s: float) -> None:
        self._address = address
        self._remote = Remote(f"source {address.name}", patience_s=patience_s)
        self._retrieve = router_pb2_grpc.RetrieverStub(channel).Retrieve

    async def retrieve(
        self, query: Content, mode: Mode, top_k: int, filter: Filter | None, *, timeout_s: float
    ) -> SourceAnswer:
        """See `Source`. Hits without an id or seen before are left out."""
        request = router_pb2.RetrieveRequest(
            collection=self._address.collection,
            query=convert.content_to_proto(query),
            mode=convert.mode_to_proto(mode),
            top_k=top_k,
            filter=None if filter is None else convert.filter_to_proto(filter),
        )
        response: router_pb2.RetrieveResponse = await self._remote.call(self._retrieve, request, timeout_s=timeout_s)
        hits: dict[str, Hit] = {}
        for hit in response.hits[:top_k]:
            if hit.document.id:
                found = Hit(self._address.name, convert.document_from_proto(hit.document), hit.score)
                hits.setdefault(hit.document.id, found)
        return SourceAnswer(tuple(hits.values()), [convert.degradation_from_proto(one) for one in response.degraded])
