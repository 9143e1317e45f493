"""The asynchronous client: one method for each call of the mesh, typed both ways."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from searchmesh.client import asking, words
from searchmesh.client.asking import Answer, AskEvent, AskOptions, Message
from searchmesh.client.collections import Collection, MultiVectors, VectorSpace, create_request
from searchmesh.client.connections import Connections
from searchmesh.client.contents import Content, Image
from searchmesh.client.documents import Document, IndexProgress
from searchmesh.client.embeddings import Chunking, EmbeddedBatch, Embeddings, EmbedOptions, embed_batches
from searchmesh.client.filters import Filter
from searchmesh.client.indexing import index_documents
from searchmesh.client.models import Model, ServiceName
from searchmesh.client.reading import ReadEvent, Reading, ReadOptions, events_of, gathered
from searchmesh.client.reranking import Ranking, rerank_request
from searchmesh.client.retries import RetryBudget, Unary
from searchmesh.client.searching import Fusion, RerankOptions, SearchResult, search_request
from searchmesh.client.settings import ClientSettings
from searchmesh.client.token_vectors import TokenVectors
from searchmesh.v1 import models_pb2, router_pb2


class AsyncClient:
    """A client of the mesh for one event loop::

        async with AsyncClient() as client:
            result = await client.search("docs", "how do I compress a file")

    Targets are ``host:port`` or ``dns:///name:port``; those not given come from SEARCHMESH_ROUTER_TARGET,
    SEARCHMESH_EMBEDDING_TARGET, SEARCHMESH_RERANKER_TARGET, SEARCHMESH_READER_TARGET and SEARCHMESH_VLM_TARGET, else
    they are the local mesh's ports. `api_key` is SEARCHMESH_API_KEY unless it is given; with SEARCHMESH_TLS_CA the
    connections are encrypted. They open at first use.

    Every method raises an error of the tree in `searchmesh.runtime.errors`. A call ends within its `timeout_s`, the
    client's unless it is given, retries included: UNAVAILABLE is retried at once, a shed call after the delay that
    the service told it, as long as the time and the client's retry budget allow.
    """

    def __init__(
        self,
        router: str | None = None,
        embedding: str | None = None,
        reranker: str | None = None,
        timeout_s: float = 30.0,
        *,
        reader: str | None = None,
        vlm: str | None = None,
        api_key: str | None = None,
    ) -> None:
        settings = ClientSettings()
        self._connections = Connections(
            router or settings.router_target,
            embedding or settings.embedding_target,
            reranker or settings.reranker_target,
            reader or settings.reader_target,
            vlm or settings.vlm_target,
            tls=settings.tls,
            api_key=api_key or settings.api_key.get_secret_value(),
        )
        self._unary = Unary(timeout_s, RetryBudget())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. The client cannot be used afterwards."""
        await self._connections.close()

    async def embed(
        self,
        inputs: Sequence[Content],
        *,
        model: str = "",
        task: str = "",
        dimensions: int = 0,
        dtype: words.DType = "float32",
        truncation: words.Truncation = "refuse",
        multi_vector: bool = False,
        lane: words.Lane = "interactive",
        bypass_cache: bool = False,
        chunking: Chunking | None = None,
        timeout_s: float | None = None,
    ) -> Embeddings:
        """Vectors of texts and, with a model that reads them, images.

        `model` and `task` empty: the service's default and the model's own. `dimensions`: one of the model's
        Matryoshka sizes, 0 its own. `truncation`: what happens to a text over the model's limit. `multi_vector`: one
        vector per token. `chunking`: a vector per chunk of each text, pooled from one pass over the whole of it. Raises
        InvalidArgument, naming the input, for a text that is empty or too long.
        """
        options = EmbedOptions(model, task, dimensions, dtype, truncation, multi_vector, lane, bypass_cache, chunking)
        request = options.request(inputs)
        return Embeddings.from_proto(await self._unary.call(self._connections.embedding.Embed, request, timeout_s))

    async def embed_stream(
        self,
        batches: Iterable[Sequence[Content]] | AsyncIterable[Sequence[Content]],
        *,
        model: str = "",
        task: str = "",
        dimensions: int = 0,
        dtype: words.DType = "float32",
        truncation: words.Truncation = "refuse",
        multi_vector: bool = False,
        bypass_cache: bool = False,
        chunking: Chunking | None = None,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[EmbeddedBatch, None]:
        """Vectors of many batches of inputs, in order, in the bulk lane. See `embed`.

        A batch that fails does not end the stream: its `EmbeddedBatch.embeddings` raises. `batches` is read as fast
        as the service works; a plain iterable is read on the event loop, so give an asynchronous one where reading
        blocks. Resumes by itself after a cut. `timeout_s` bounds the whole stream, None: no limit.
        """
        options = EmbedOptions(model, task, dimensions, dtype, truncation, multi_vector, "bulk", bypass_cache, chunking)
        async with aclosing(embed_batches(self._connections.embedding, batches, options, timeout_s)) as embedded:
            async for batch in embedded:
                yield batch

    async def rerank(
        self,
        query: Content,
        documents: Sequence[Content] = (),
        *,
        top_n: int | None = None,
        model: str = "",
        instruction: str = "",
        truncation: words.Truncation = "end",
        lane: words.Lane = "interactive",
        return_document_vectors: bool = False,
        document_vectors: TokenVectors | None = None,
        timeout_s: float | None = None,
    ) -> Ranking:
        """Documents by their relevance to the query, best first; only the best `top_n` if that is given.

        Query and documents may be images for a model that reads them. `instruction`: how to judge, for a model that
        reads one. `truncation`: what happens to a document over the model's limit; a query loses its end.
        `document_vectors`: those of the documents, for late interaction; `documents` may then be left out. Raises
        InvalidArgument, naming the field, for what the model cannot do or is too much.
        """
        request = rerank_request(
            query, documents, top_n=top_n, model=model, instruction=instruction, truncation=truncation, lane=lane,
            return_document_vectors=return_document_vectors, document_vectors=document_vectors,
        )  # fmt: skip
        response = await self._unary.call(self._connections.reranker.Rerank, request, timeout_s)
        return Ranking.from_proto(response, documents)

    async def create_collection(
        self,
        name: str,
        *,
        spaces: Sequence[VectorSpace] = (),
        reranker: str = "",
        language: str = "",
        filter_fields: Mapping[str, words.FilterType] | None = None,
        multi_vectors: MultiVectors | None = None,
        timeout_s: float | None = None,
    ) -> Collection:
        """A new collection. No `spaces`: one for text with the default model.

        `filter_fields` names the metadata fields that filters may use; `multi_vectors` are stored for reranking. Raises
        AlreadyExists for a name in use, InvalidArgument for a model that cannot do what it is wanted for.
        """
        request = create_request(name, spaces, reranker, language, filter_fields or {}, multi_vectors)
        return Collection.from_proto(await self._unary.call(self._connections.collections.Create, request, timeout_s))

    async def get_collection(self, name: str, *, timeout_s: float | None = None) -> Collection:
        """The collection of that name. Raises NotFound."""
        request = router_pb2.GetCollectionRequest(name=name)
        return Collection.from_proto(await self._unary.call(self._connections.collections.Get, request, timeout_s))

    async def list_collections(self, *, timeout_s: float | None = None) -> tuple[Collection, ...]:
        """All collections."""
        request = router_pb2.ListCollectionsRequest()
        response = await self._unary.call(self._connections.collections.List, request, timeout_s)
        return tuple(Collection.from_proto(collection) for collection in response.collections)

    async def delete_collection(self, name: str, *, timeout_s: float | None = None) -> int:
        """Delete a collection with its documents; how many there were. Raises NotFound."""
        request = router_pb2.DeleteCollectionRequest(name=name)
        return (await self._unary.call(self._connections.collections.Delete, request, timeout_s)).deleted_documents

    async def index(
        self,
        collection: str,
        documents: Iterable[Document | Mapping[str, Any]] | AsyncIterable[Document | Mapping[str, Any]],
        *,
        batch_size: int = 64,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[IndexProgress, None]:
        """Index documents and yield totals as they become durable.

        A mapping has the keys id, text, title, metadata and image. A document that fails is reported in `errors` and
        does not end the stream. After a cut the stream resumes from the first document that is not acknowledged; only
        those are kept in memory. `documents` is read as fast as the service works; a plain iterable is read on the
        event loop, so give an asynchronous one where reading blocks. `timeout_s` bounds the whole stream, None: no
        limit. Raises NotFound for an unknown collection.
        """
        progress = index_documents(
            self._connections.documents, collection, documents, batch_size=batch_size, timeout_s=timeout_s
        )
        async with aclosing(progress):
            async for totals in progress:
                yield totals

    async def get_documents(
        self, collection: str, ids: Sequence[str], *, timeout_s: float | None = None
    ) -> tuple[Document, ...]:
        """The documents of these ids, in their order; those that are not there are left out."""
        request = router_pb2.GetDocumentsRequest(collection=collection, ids=ids)
        response = await self._unary.call(self._connections.documents.Get, request, timeout_s)
        return tuple(Document.from_proto(document) for document in response.documents)

    async def delete_documents(self, collection: str, ids: Sequence[str], *, timeout_s: float | None = None) -> int:
        """Delete the documents of these ids; how many there were."""
        request = router_pb2.DeleteDocumentsRequest(collection=collection, ids=ids)
        return (await self._unary.call(self._connections.documents.Delete, request, timeout_s)).deleted

    async def search(
        self,
        collections: str | Sequence[str],
        query: Content,
        *,
        mode: words.SearchMode = "hybrid",
        top_k: int = 10,
        offset: int = 0,
        filter: Filter | None = None,
        fusion: words.FusionMethod | Fusion | None = None,
        rerank: bool | RerankOptions | None = None,
        candidates: int = 0,
        ids_only: bool = False,
        spaces: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> SearchResult:
        """The documents of one or more collections that fit the query, a text or an image, best.

        `filter` is made with `tag` and `number`. `rerank` None: if the collection names a reranker. `candidates` of
        each retriever, 0: 100. `spaces` empty: those that suit the query; the result's `routes` say which, and why.
        Stages that failed or were late are in its `degraded`.
        """
        request = search_request(
            collections, query, mode=mode, top_k=top_k, offset=offset, filter=filter, fusion=fusion, rerank=rerank,
            candidates=candidates, ids_only=ids_only, spaces=spaces,
        )  # fmt: skip
        return SearchResult.from_proto(await self._unary.call(self._connections.router.Search, request, timeout_s))

    async def read(
        self,
        source: str | bytes,
        *,
        content_type: str = "",
        url: str = "",
        engine: words.ReadEngine = "auto",
        model: str = "",
        format: words.ReadFormat = "markdown",
        instruction: str = "",
        json_schema: Mapping[str, Any] | str | None = None,
        target_selectors: Sequence[str] = (),
        remove_selectors: Sequence[str] = (),
        whole_page: bool = False,
        links: words.Retention = "all",
        images: words.Retention = "all",
        links_summary: bool = False,
        images_summary: bool = False,
        max_tokens: int = 0,
        fetch_timeout_s: float | None = None,
        timeout_s: float | None = None,
    ) -> Reading:
        """A page, a PDF document or an image as text. `source` is its URL, which the service fetches, or the file.

        `content_type` and `url` go with a file that is sent. `engine`: `auto` chooses a model for images, and for pages
        if one is loaded and they fit, else rules. `format`: `json` with a schema or an instruction gives what they ask
        for, else an object with the page's metadata and its content. `links`, `images`: `text` keeps the text of links
        and the alternative text of images. `max_tokens`: bound of the text, 0: none, or for images the service's.

        Raises InvalidArgument, naming `url` or `page.data`, for what cannot be fetched or read, and FailedPrecondition
        for a model that is not loaded, a page without text, or JSON that breaks the schema.
        """
        options = ReadOptions(
            engine, model, format, instruction, json_schema, target_selectors, remove_selectors, whole_page, links,
            images, links_summary, images_summary, max_tokens, fetch_timeout_s,
        )  # fmt: skip
        return await gathered(
            self.read_stream(source, options, content_type=content_type, url=url, timeout_s=timeout_s)
        )

    async def read_stream(
        self,
        source: str | bytes,
        options: ReadOptions | None = None,
        *,
        content_type: str = "",
        url: str = "",
        timeout_s: float | None = None,
    ) -> AsyncGenerator[ReadEvent, None]:
        """As `read`, event by event as they come: a `ReadStarted`, pieces of text, a `ReadFinished`.

        A second `ReadStarted` voids the text before it: rules take over from a model that failed.
        """
        request = (options or ReadOptions()).request(source, content_type, url)
        responses = self._unary.stream(self._connections.reader.Read, request, timeout_s)
        async with aclosing(responses), aclosing(events_of(responses)) as events:
            async for event in events:
                yield event

    async def ask(
        self,
        question: str | Sequence[Message],
        images: Sequence[Image] = (),
        options: AskOptions | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Answer:
        """The answer to a question about images, or to the last message of a conversation, which then has its images
        in it."""
        return await asking.gathered(self.ask_stream(question, images, options, timeout_s=timeout_s))

    async def ask_stream(
        self,
        question: str | Sequence[Message],
        images: Sequence[Image] = (),
        options: AskOptions | None = None,
        *,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[AskEvent, None]:
        """As `ask`, piece by piece as they come, and then an `AnswerFinished`. Leaving early ends the generation."""
        request = (options or AskOptions()).request(asking.asked(question, images))
        responses = self._unary.stream(self._connections.vlm.Generate, request, timeout_s)
        async with aclosing(responses), aclosing(asking.events_of(responses)) as events:
            async for event in events:
                yield event

    async def models(self, service: ServiceName, *, timeout_s: float | None = None) -> tuple[Model, ...]:
        """The models that a service can use."""
        stub = self._connections.models(service)
        response = await self._unary.call(stub.List, models_pb2.ListModelsRequest(), timeout_s)
        return tuple(Model.from_proto(model) for model in response.models)
