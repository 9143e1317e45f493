"""A mesh of fakes behind real gRPC on one port: what clients are tested against."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc.aio
import numpy as np

from searchmesh.embedding.dtypes import packed
from searchmesh.runtime.errors import AlreadyExists, InvalidArgument, NotFound, SearchmeshError, to_status
from searchmesh.runtime.rpc import Call, Gate, Rpc
from searchmesh.v1 import common_pb2, embedding_pb2, models_pb2, reader_pb2, reranker_pb2, router_pb2, vlm_pb2

R = TypeVar("R")

DIMENSIONS = 12
_STAGE = common_pb2.StageTiming(stage="infer", duration_us=1500)


def vector_of(text: str) -> np.ndarray:
    """The unit vector that the fake embeds a text to."""
    row = np.random.default_rng(len(text)).standard_normal(DIMENSIONS).astype(np.float32)
    return row / np.linalg.norm(row)


class FakeMesh:
    """All services in one object. `failures` are raised, one a call, before anything else happens."""

    def __init__(self) -> None:
        self.failures: list[SearchmeshError] = []
        self.calls = 0
        self.hang = asyncio.Event()
        self.hang.set()
        self.embedded: list[embedding_pb2.EmbedRequest] = []
        self.reranked: list[reranker_pb2.RerankRequest] = []
        self.searches: list[router_pb2.SearchRequest] = []
        self.collections: dict[str, router_pb2.Collection] = {}
        self.documents: dict[str, dict[str, router_pb2.Document]] = {}
        self.received: list[str] = []
        self.streams = 0
        self.after_acknowledged: Callable[[FakeMesh, int], SearchmeshError | None] = lambda mesh, count: None
        self.degraded: list[router_pb2.Degradation] = []
        self.routes: list[router_pb2.Route] = []
        self.reads: list[reader_pb2.ReadRequest] = []
        self.read_events = [
            reader_pb2.ReadResponse(
                started=reader_pb2.ReadStarted(
                    engine=reader_pb2.READ_ENGINE_RULES, reason="as requested", page=reader_pb2.PageInfo(title="A boat")
                )
            ),
            reader_pb2.ReadResponse(text="some "),
            reader_pb2.ReadResponse(text="words"),
            reader_pb2.ReadResponse(
                finished=reader_pb2.ReadFinished(
                    finish_reason=common_pb2.FINISH_REASON_STOP, fidelity=1, output_tokens=3, chunks=1, timings=[_STAGE]
                )
            ),
        ]
        self.models = [models_pb2.Model(name="fake", kind="embedding", dimensions=[DIMENSIONS], ready=True)]
        self.questions: list[vlm_pb2.GenerateRequest] = []
        self.question_seconds: list[float | None] = []
        """What the caller of each question granted for its answer."""
        self.left_early = 0
        """Answers whose caller went away."""
        self.answer_events = [
            vlm_pb2.GenerateResponse(text="a "),
            vlm_pb2.GenerateResponse(text="boat"),
            vlm_pb2.GenerateResponse(
                finished=vlm_pb2.GenerateFinished(
                    finish_reason=common_pb2.FINISH_REASON_STOP,
                    input_tokens=430,
                    image_tokens=424,
                    output_tokens=2,
                    timings=[_STAGE],
                )
            ),
        ]
        self.read_failure: SearchmeshError | None = None
        """Raised after the events."""

    async def _enter(self) -> None:
        self.calls += 1
        await self.hang.wait()
        if self.failures:
            raise self.failures.pop(0)

    async def Embed(self, request: embedding_pb2.EmbedRequest, call: Call) -> embedding_pb2.EmbedResponse:
        await self._enter()
        return self._embed(request)

    def _embed(self, request: embedding_pb2.EmbedRequest) -> embedding_pb2.EmbedResponse:
        self.embedded.append(request)
        texts = [content.text for content in request.inputs]
        for position, text in enumerate(texts):
            if not text:
                raise InvalidArgument(f"inputs[{position}].text", "is empty")
        rows = [
            np.stack([vector_of(word) for word in text.split()] if request.multi_vector else [vector_of(text)])
            for text in texts
        ]
        vectors = common_pb2.Vectors(
            dtype=request.dtype, dimensions=DIMENSIONS, data=packed(np.concatenate(rows), request.dtype)
        )
        if request.multi_vector:
            vectors.row_offsets.extend(np.cumsum([0, *map(len, rows)]).tolist())
        return embedding_pb2.EmbedResponse(
            model=request.model or "fake",
            vectors=vectors,
            inputs=[common_pb2.InputInfo(tokens=len(text.split()), cached=True) for text in texts],
            usage=common_pb2.Usage(tokens=sum(len(text.split()) for text in texts)),
            timings=[_STAGE],
            cache=embedding_pb2.CACHE_STATE_BYPASSED if request.bypass_cache else embedding_pb2.CACHE_STATE_USED,
        )

    async def EmbedStream(
        self, requests: AsyncIterator[embedding_pb2.EmbedRequest], call: Call
    ) -> AsyncIterator[embedding_pb2.EmbedStreamResponse]:
        await self._enter()
        self.streams += 1
        sequence = 0
        async for request in requests:
            try:
                answer = embedding_pb2.EmbedStreamResponse(sequence=sequence, response=self._embed(request))
            except SearchmeshError as error:
                answer = embedding_pb2.EmbedStreamResponse(sequence=sequence, error=to_status(error))
            yield answer
            sequence += 1
            if failure := self.after_acknowledged(self, sequence):
                raise failure

    async def Rerank(self, request: reranker_pb2.RerankRequest, call: Call) -> reranker_pb2.RerankResponse:
        await self._enter()
        self.reranked.append(request)
        asked = set(request.query.text.split()) or {""}
        scores = [len(asked & set(content.text.split())) / len(asked) for content in request.documents]
        scores = scores or [0.0] * (len(request.document_vectors.row_offsets) - 1)
        order = sorted(range(len(scores)), key=lambda index: -scores[index])[: request.top_n or None]
        response = reranker_pb2.RerankResponse(
            model="fake",
            results=[reranker_pb2.RerankResult(index=index, relevance_score=scores[index]) for index in order],
            timings=[_STAGE],
            query=common_pb2.InputInfo(tokens=len(asked), truncated=len(asked) > 4),
        )
        if request.return_document_vectors:
            rows = np.stack([vector_of(request.documents[index].text) for index in order])
            response.document_vectors.CopyFrom(common_pb2.Vectors(dimensions=DIMENSIONS, data=rows.tobytes()))
        return response

    async def Read(self, request: reader_pb2.ReadRequest, call: Call) -> AsyncIterator[reader_pb2.ReadResponse]:
        await self._enter()
        self.reads.append(request)
        for event in self.read_events:
            yield event
        if self.read_failure is not None:
            raise self.read_failure

    async def Generate(self, request: vlm_pb2.GenerateRequest, call: Call) -> AsyncIterator[vlm_pb2.GenerateResponse]:
        await self._enter()
        self.questions.append(request)
        self.question_seconds.append(call.deadline.remaining_s())
        self.left_early += 1
        for event in self.answer_events:
            yield event
        self.left_early -= 1

    async def List(
        self, request: models_pb2.ListModelsRequest | router_pb2.ListCollectionsRequest, call: Call
    ) -> models_pb2.ListModelsResponse | router_pb2.ListCollectionsResponse:
        await self._enter()
        if isinstance(request, models_pb2.ListModelsRequest):
            return models_pb2.ListModelsResponse(models=self.models)
        return router_pb2.ListCollectionsResponse(collections=[self._collection(name) for name in self.collections])

    async def Create(self, request: router_pb2.CreateCollectionRequest, call: Call) -> router_pb2.Collection:
        await self._enter()
        collection = request.collection
        if collection.name in self.collections:
            raise AlreadyExists(f"collection {collection.name} exists")
        collection.create_time.FromSeconds(1_700_000_000)
        self.collections[collection.name] = collection
        self.documents[collection.name] = {}
        return collection

    def _collection(self, name: str) -> router_pb2.Collection:
        if name not in self.collections:
            raise NotFound(f"no collection is called {name}")
        collection = self.collections[name]
        collection.document_count = len(self.documents[name])
        return collection

    async def Get(
        self, request: router_pb2.GetCollectionRequest | router_pb2.GetDocumentsRequest, call: Call
    ) -> router_pb2.Collection | router_pb2.GetDocumentsResponse:
        await self._enter()
        if isinstance(request, router_pb2.GetCollectionRequest):
            return self._collection(request.name)
        self._collection(request.collection)
        stored = self.documents[request.collection]
        return router_pb2.GetDocumentsResponse(documents=[stored[id] for id in request.ids if id in stored])

    async def Delete(
        self, request: router_pb2.DeleteCollectionRequest | router_pb2.DeleteDocumentsRequest, call: Call
    ) -> router_pb2.DeleteCollectionResponse | router_pb2.DeleteDocumentsResponse:
        await self._enter()
        if isinstance(request, router_pb2.DeleteCollectionRequest):
            self._collection(request.name)
            del self.collections[request.name]
            return router_pb2.DeleteCollectionResponse(deleted_documents=len(self.documents.pop(request.name)))
        stored = self.documents[request.collection]
        deleted = [stored.pop(id) for id in request.ids if id in stored]
        return router_pb2.DeleteDocumentsResponse(deleted=len(deleted))

    async def Index(
        self, requests: AsyncIterator[router_pb2.IndexRequest], call: Call
    ) -> AsyncIterator[router_pb2.IndexProgress]:
        await self._enter()
        self.streams += 1
        progress = router_pb2.IndexProgress()
        async for request in requests:
            self._collection(request.collection)
            await self.hang.wait()
            del progress.errors[:]
            for document in request.documents:
                self.received.append(document.id)
                self._store(request.collection, document, progress)
            yield progress
            if failure := self.after_acknowledged(self, progress.acknowledged):
                raise failure

    def _store(self, collection: str, document: router_pb2.Document, progress: router_pb2.IndexProgress) -> None:
        stored = self.documents[collection]
        if not document.text and not document.HasField("image"):
            progress.failed += 1
            progress.errors.add(
                position=progress.acknowledged,
                id=document.id,
                code=grpc.StatusCode.INVALID_ARGUMENT.value[0],
                message="text: is empty",
            )
        elif stored.get(document.id) == document:
            progress.unchanged += 1
        else:
            stored[document.id] = document
            progress.indexed += 1
        progress.acknowledged += 1

    async def Search(self, request: router_pb2.SearchRequest, call: Call) -> router_pb2.SearchResponse:
        await self._enter()
        self.searches.append(request)
        asked = set((request.query.text or "any image").lower().split())
        hits = []
        for name in request.collections:
            self._collection(name)
            for document in self.documents[name].values():
                score = len(asked & set(document.text.lower().split())) / len(asked)
                hits.append(
                    router_pb2.SearchHit(
                        document=document,
                        collection=name,
                        score=score,
                        stage_scores={"dense.text": score, "fused": score},
                    )
                )
        hits.sort(key=lambda hit: -hit.score)
        return router_pb2.SearchResponse(
            hits=hits[request.offset : request.offset + request.top_k],
            candidates=len(hits),
            degraded=self.degraded,
            routes=self.routes,
            timings=[common_pb2.StageTiming(stage="embed", duration_us=800), _STAGE],
        )


_SERVICES = (
    embedding_pb2.DESCRIPTOR.services_by_name["Embedding"],
    reranker_pb2.DESCRIPTOR.services_by_name["Reranker"],
    reader_pb2.DESCRIPTOR.services_by_name["Reader"],
    vlm_pb2.DESCRIPTOR.services_by_name["Vlm"],
    models_pb2.DESCRIPTOR.services_by_name["Models"],
    router_pb2.DESCRIPTOR.services_by_name["Router"],
    router_pb2.DESCRIPTOR.services_by_name["Collections"],
    router_pb2.DESCRIPTOR.services_by_name["Documents"],
)


async def start(
    mesh: FakeMesh, port: int = 0, *, max_message_bytes: int = 4 * 1024 * 1024
) -> tuple[grpc.aio.Server, int]:
    """A running server with all services of the fake, and its port."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 4 * 1024 * 1024)])
    rpc = Rpc(Gate(max_in_flight=64))
    server.add_generic_rpc_handlers(tuple(rpc.handler(service, mesh, needs_ready=False) for service in _SERVICES))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, port


@asynccontextmanager
async def running(mesh: FakeMesh) -> AsyncIterator[str]:
    """The target of a server that is stopped at the end."""
    server, port = await start(mesh)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        mesh.hang.set()
        await server.stop(0)


class Served:
    """A fake mesh on an event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.mesh = FakeMesh()
        self._server, port = self._run(start(self.mesh))
        self.target = f"127.0.0.1:{port}"

    def _run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self.mesh.hang.set)
        self._run(self._server.stop(0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
