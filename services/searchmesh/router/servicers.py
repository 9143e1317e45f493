"""searchmesh.v1.Router, Retriever, Collections, Documents and Models of the router: protobuf to domain and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from searchmesh.router import convert, requests
from searchmesh.router.collections import Collections
from searchmesh.router.documents import check_id
from searchmesh.router.index import Collection, Document, Image, Index
from searchmesh.router.indexing import Indexer, Progress
from searchmesh.router.query import MAX_IMAGE_BYTES
from searchmesh.router.search import Searcher
from searchmesh.router.window import Arrival
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.v1 import router_pb2

MAX_IDS = 1000
"""Documents of one Get or Delete."""

ARRIVALS_AT_ONCE = 16
"""Documents of a message that are read before other work gets its turn: about 2 ms."""


class RouterServicer:
    """Answers searchmesh.v1.Router."""

    def __init__(self, searcher: Searcher, *, max_image_bytes: int) -> None:
        self._searcher = searcher
        self._max_image_bytes = max_image_bytes

    async def Search(self, request: router_pb2.SearchRequest, call: Call) -> router_pb2.SearchResponse:
        """One page of results."""
        query = requests.search_query(request, max_image_bytes=self._max_image_bytes)
        result = await self._searcher.search(query, call)
        return router_pb2.SearchResponse(
            hits=[convert.hit_to_proto(hit) for hit in result.hits],
            candidates=result.candidates,
            degraded=[convert.degradation_to_proto(one) for one in result.degraded],
            timings=call.stages.to_proto(),
            routes=[convert.route_to_proto(one) for one in result.routes],
        )


class RetrieverServicer:
    """Answers searchmesh.v1.Retriever, over the router's own collections."""

    def __init__(self, searcher: Searcher, *, max_image_bytes: int) -> None:
        self._searcher = searcher
        self._max_image_bytes = max_image_bytes

    async def Retrieve(self, request: router_pb2.RetrieveRequest, call: Call) -> router_pb2.RetrieveResponse:
        """Candidates in fused order."""
        query = requests.retrieve_query(request, max_image_bytes=self._max_image_bytes)
        result = await self._searcher.search(query, call)
        return router_pb2.RetrieveResponse(
            hits=[convert.hit_to_proto(hit) for hit in result.hits],
            degraded=[convert.degradation_to_proto(one) for one in result.degraded],
            timings=call.stages.to_proto(),
        )


class CollectionsServicer:
    """Answers searchmesh.v1.Collections."""

    def __init__(self, collections: Collections) -> None:
        self._collections = collections

    async def Create(self, request: router_pb2.CreateCollectionRequest, call: Call) -> router_pb2.Collection:
        """Create a collection, or find the same one there."""
        collection = await self._collections.create(convert.collection_from_proto(request.collection), call.deadline)
        return convert.collection_to_proto(await self._collections.counted(collection))

    async def Get(self, request: router_pb2.GetCollectionRequest, call: Call) -> router_pb2.Collection:  # noqa: ARG002
        """One collection."""
        return convert.collection_to_proto(await self._collections.counted(await self._collections.get(request.name)))

    async def List(
        self,
        request: router_pb2.ListCollectionsRequest,  # noqa: ARG002
        call: Call,  # noqa: ARG002
    ) -> router_pb2.ListCollectionsResponse:
        """All collections."""
        listed = await self._collections.list()
        return router_pb2.ListCollectionsResponse(collections=[convert.collection_to_proto(one) for one in listed])

    async def Delete(
        self,
        request: router_pb2.DeleteCollectionRequest,
        call: Call,  # noqa: ARG002
    ) -> router_pb2.DeleteCollectionResponse:
        """Delete a collection with its documents."""
        return router_pb2.DeleteCollectionResponse(deleted_documents=await self._collections.delete(request.name))


class DocumentsServicer:
    """Answers searchmesh.v1.Documents."""

    def __init__(self, index: Index, collections: Collections, indexer: Indexer) -> None:
        self._index = index
        self._collections = collections
        self._indexer = indexer

    async def Index(
        self,
        requests: AsyncIterator[router_pb2.IndexRequest],
        call: Call,  # noqa: ARG002
    ) -> AsyncIterator[router_pb2.IndexProgress]:
        """Index a stream of documents."""
        first = await anext(requests, None)
        if first is None:
            return
        collection = await self._collections.get(first.collection)
        async with aclosing(self._indexer.run(collection, _arrivals(collection, first, requests))) as running:
            async for progress in running:
                yield _progress(progress)

    async def Get(
        self,
        request: router_pb2.GetDocumentsRequest,
        call: Call,  # noqa: ARG002
    ) -> router_pb2.GetDocumentsResponse:
        """Documents by id."""
        _check_ids(request.ids)
        collection = await self._collections.get(request.collection)
        found = [one for one in await self._index.fetch(collection, request.ids) if one is not None]
        pictured = {one.id: one.image.unfetched for one in found if one.image is not None and one.image.unfetched}
        if (size := sum(pictured.values())) > MAX_IMAGE_BYTES:
            raise InvalidArgument(
                "ids", f"names {size} bytes of images, an answer holds {MAX_IMAGE_BYTES}; ask for fewer documents"
            )
        data = dict(zip(pictured, await self._index.image_data(collection, list(pictured)), strict=True))
        return router_pb2.GetDocumentsResponse(
            documents=[
                convert.document_to_proto(replace(one, image=Image(data=image)) if (image := data.get(one.id)) else one)
                for one in found
            ]
        )

    async def Delete(
        self,
        request: router_pb2.DeleteDocumentsRequest,
        call: Call,  # noqa: ARG002
    ) -> router_pb2.DeleteDocumentsResponse:
        """Delete documents by id."""
        _check_ids(request.ids)
        collection = await self._collections.get(request.collection)
        return router_pb2.DeleteDocumentsResponse(deleted=await self._index.delete(collection, request.ids))


def _check_ids(ids: Sequence[str]) -> None:
    if len(ids) > MAX_IDS:
        raise InvalidArgument("ids", f"has {len(ids)} entries, the limit is {MAX_IDS}")
    for number, id in enumerate(ids):
        check_id(f"ids[{number}]", id)


async def _arrivals(
    collection: Collection, first: router_pb2.IndexRequest, rest: AsyncIterator[router_pb2.IndexRequest]
) -> AsyncIterator[list[Arrival]]:
    position = 0
    message: router_pb2.IndexRequest | None = first
    while message is not None:
        if message.collection not in ("", collection.name):
            raise InvalidArgument(
                "collection", f"a stream is for one collection, and this began with {collection.name!r}"
            )
        for start in range(0, len(message.documents), ARRIVALS_AT_ONCE):
            portion = message.documents[start : start + ARRIVALS_AT_ONCE]
            yield [_arrival(position + number, document) for number, document in enumerate(portion)]
            position += len(portion)
            await asyncio.sleep(0)
        message = await anext(rest, None)


def _arrival(position: int, message: router_pb2.Document) -> Arrival:
    try:
        return Arrival(position, convert.document_from_proto(message))
    except InvalidArgument as error:
        return Arrival(position, Document(message.id), error)


def _progress(progress: Progress) -> router_pb2.IndexProgress:
    return router_pb2.IndexProgress(
        acknowledged=progress.acknowledged,
        indexed=progress.indexed,
        unchanged=progress.unchanged,
        failed=progress.failed,
        truncated=progress.truncated,
        errors=[
            router_pb2.DocumentError(
                position=failure.position,
                id=failure.id,
                code=failure.error.code.value[0],
                message=failure.error.message,
            )
            for failure in progress.failures
        ],
    )
