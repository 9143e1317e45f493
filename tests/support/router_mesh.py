"""A router behind real gRPC, with fakes of the services that it calls, each on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import accumulate, pairwise

import grpc.aio
from google.protobuf import json_format

from searchmesh.embedding.dtypes import packed
from searchmesh.router.app import build
from searchmesh.router.ports import Model
from searchmesh.router.settings import RouterSettings
from searchmesh.runtime.channels import connect
from searchmesh.runtime.errors import InvalidArgument, NotFound
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.server import Service, serve
from searchmesh.runtime.settings import ServiceSettings
from searchmesh.v1 import (
    common_pb2,
    embedding_pb2,
    models_pb2,
    models_pb2_grpc,
    reranker_pb2,
    router_pb2,
    router_pb2_grpc,
)
from support.ports import free_port
from support.router import DIMENSIONS, EMBEDDERS, MODEL, RERANKERS, vector_of

MODELS = models_pb2.DESCRIPTOR.services_by_name["Models"]


def listed(models: Sequence[Model]) -> models_pb2.ListModelsResponse:
    """The models as a service lists them."""
    return models_pb2.ListModelsResponse(
        models=[
            models_pb2.Model(
                name=one.name,
                modalities=sorted(one.modalities),
                dimensions=one.dimensions,
                multi_vector=one.multi_vector,
                is_default=one.is_default,
            )
            for one in models
        ]
    )


def words_of(content: common_pb2.Content) -> str:
    """What the fakes read: the text, the data of an image as ASCII, or the last part of its URL."""
    if content.WhichOneof("content") == "text":
        return content.text
    if content.image.url:
        return content.image.url.rpartition("/")[2].replace("-", " ")
    return content.image.data.decode("ascii", "replace")


class EmbeddingServicer:
    """Answers searchmesh.v1.Embedding and Models with vectors of word hashes; a token vector for each word."""

    def __init__(self) -> None:
        self.requests: list[embedding_pb2.EmbedRequest] = []

    async def Embed(self, request: embedding_pb2.EmbedRequest, call: Call) -> embedding_pb2.EmbedResponse:
        self.requests.append(request)
        if request.model not in {"", *(one.name for one in EMBEDDERS)}:
            raise NotFound(f"no model is named {request.model!r}")
        texts = [words_of(content) for content in request.inputs]
        for number, text in enumerate(texts):
            if "broken" in text.split():
                raise InvalidArgument(f"inputs[{number}].image", "is no image")
        inputs = [common_pb2.InputInfo(tokens=3) for _ in texts]
        if request.multi_vector:
            rows = [[vector_of(word) for word in text.split()] for text in texts]
            vectors = common_pb2.Vectors(
                dtype=request.dtype,
                dimensions=DIMENSIONS,
                row_offsets=accumulate(map(len, rows), initial=0),
                data=b"".join(packed(row[None], request.dtype) for some in rows for row in some),
            )
        else:
            data = b"".join(vector_of(text).tobytes() for text in texts)
            vectors = common_pb2.Vectors(dtype=common_pb2.DTYPE_FLOAT32, dimensions=DIMENSIONS, data=data)
        return embedding_pb2.EmbedResponse(model=request.model or MODEL, vectors=vectors, inputs=inputs)

    async def EmbedStream(
        self, requests: AsyncIterator[embedding_pb2.EmbedRequest], call: Call
    ) -> AsyncIterator[embedding_pb2.EmbedStreamResponse]:
        raise NotImplementedError
        yield

    async def List(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:
        return listed(EMBEDDERS)


class RerankerServicer:
    """Answers searchmesh.v1.Reranker and Models: longer documents, or such with more token vectors, are better."""

    def __init__(self) -> None:
        self.requests: list[reranker_pb2.RerankRequest] = []

    async def Rerank(self, request: reranker_pb2.RerankRequest, call: Call) -> reranker_pb2.RerankResponse:
        self.requests.append(request)
        offsets = request.document_vectors.row_offsets
        scores = [float(end - start) for start, end in pairwise(offsets)]
        scores = scores or [float(len(words_of(document))) for document in request.documents]
        for number, document in enumerate(request.documents):
            if document.image.url.endswith("/gone"):
                raise InvalidArgument(f"documents[{number}].image.url", "answered with status 404")
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        return reranker_pb2.RerankResponse(
            model=request.model or RERANKERS[0].name,
            results=[reranker_pb2.RerankResult(index=index, relevance_score=scores[index]) for index in order],
        )

    async def List(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:
        return listed(RERANKERS)


@asynccontextmanager
async def serving(settings: ServiceSettings, service: Service) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, service, stop))
    try:
        yield
    finally:
        stop.set()
        await task


class Mesh:
    """A router with its channel, and the services behind it."""

    def __init__(self, redis_url: str, *sources: str) -> None:
        self.embedding, self.reranker = EmbeddingServicer(), RerankerServicer()
        self.settings = RouterSettings(
            port=free_port(100),
            index_url=redis_url,
            embedding_target=f"127.0.0.1:{free_port()}",
            reranker_target=f"127.0.0.1:{free_port()}",
            sources=",".join(sources),
            drain_wait_s=0.0,
            drain_grace_s=1.0,
            index_patience_s=1.0,
            index_read_timeout_ms=1000,
        )
        self.open = AsyncExitStack()
        self.stops: dict[str, AsyncExitStack] = {}

    async def __aenter__(self) -> Mesh:
        await self.start("embedding", self.settings.embedding_target, self.embedding)
        await self.start("reranker", self.settings.reranker_target, self.reranker)
        service = await self.open.enter_async_context(build(self.settings))
        await self.open.enter_async_context(serving(self.settings, service))
        channel = await self.open.enter_async_context(connect(f"127.0.0.1:{self.settings.port}"))
        self.router = router_pb2_grpc.RouterStub(channel)
        self.collections = router_pb2_grpc.CollectionsStub(channel)
        self.documents = router_pb2_grpc.DocumentsStub(channel)
        self.retriever = router_pb2_grpc.RetrieverStub(channel)
        self.models = models_pb2_grpc.ModelsStub(channel)
        for _ in range(100):
            try:
                await self.collections.List(router_pb2.ListCollectionsRequest(), wait_for_ready=True)
                break
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.02)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.stops):
            await self.stop(name)
        await self.open.aclose()

    async def start(self, name: str, target: str, servicer: object) -> None:
        module, service = (embedding_pb2, "Embedding") if name == "embedding" else (reranker_pb2, "Reranker")
        settings = ServiceSettings(port=int(target.rpartition(":")[2]), drain_wait_s=0, drain_grace_s=0.1)
        descriptors = {module.DESCRIPTOR.services_by_name[service]: servicer, MODELS: servicer}
        self.stops[name] = AsyncExitStack()
        await self.stops[name].enter_async_context(
            serving(settings, Service(descriptors, warm=lambda: asyncio.sleep(0)))
        )

    async def stop(self, name: str) -> None:
        await self.stops.pop(name).aclose()

    async def index(self, collection: str, *documents: dict[str, object]) -> list[router_pb2.IndexProgress]:
        async def requests() -> AsyncIterator[router_pb2.IndexRequest]:
            yield router_pb2.IndexRequest(collection=collection)
            yield router_pb2.IndexRequest(
                documents=[json_format.ParseDict(document, router_pb2.Document()) for document in documents]
            )

        return [progress async for progress in self.documents.Index(requests())]

    async def search(self, text: str, **fields: object) -> router_pb2.SearchResponse:
        values = {"collections": ["papers"], "query": {"text": text}} | fields
        return await self.router.Search(json_format.ParseDict(values, router_pb2.SearchRequest()), timeout=5)
