"""Indexing over a stream that resumes by itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from searchmesh.client.documents import Document, IndexProgress, document_proto
from searchmesh.client.streams import Plan, exchange
from searchmesh.v1 import router_pb2

if TYPE_CHECKING:
    from searchmesh.v1.router_pb2_grpc import DocumentsAsyncStub

_REQUEST_BYTES = 1024 * 1024
"""Documents of one request, unless a single one is larger. Far under every message limit, far over a round trip's
worth of data."""


async def index_documents(
    stub: DocumentsAsyncStub,
    collection: str,
    documents: Iterable[Document | Mapping[str, Any]] | AsyncIterable[Document | Mapping[str, Any]],
    *,
    batch_size: int,
    timeout_s: float | None,
) -> AsyncGenerator[IndexProgress, None]:
    """Totals after each progress message of the service. See `AsyncClient.index`."""

    def pack(batch: list[router_pb2.Document]) -> router_pb2.IndexRequest:
        return router_pb2.IndexRequest(collection=collection, documents=batch)

    plan = Plan(
        stub.Index,
        pack,
        lambda message: message.acknowledged,
        batch_size=batch_size,
        max_bytes=_REQUEST_BYTES,
        bytes_of=router_pb2.Document.ByteSize,
    )
    before, latest, current = IndexProgress(), IndexProgress(), 0
    async with aclosing(exchange(plan, _protos(documents), timeout_s)) as messages:
        async for base, message in messages:
            if base != current:
                before, current = latest, base
            latest = before.plus(message, base)
            yield latest


async def _protos(
    documents: Iterable[Document | Mapping[str, Any]] | AsyncIterable[Document | Mapping[str, Any]],
) -> AsyncIterator[router_pb2.Document]:
    position = 0
    if isinstance(documents, AsyncIterable):
        async for document in documents:
            yield document_proto(position, document)
            position += 1
    else:
        for document in documents:
            yield document_proto(position, document)
            position += 1
