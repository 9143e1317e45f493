"""The parts of the router, put together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from searchmesh.router.budgets import Budgets
from searchmesh.router.collections import Collections
from searchmesh.router.federation import RemoteSource
from searchmesh.router.index import Index
from searchmesh.router.index.redis_engine import RedisIndex
from searchmesh.router.indexing import Indexer, IndexingLimits
from searchmesh.router.models import ModelsServicer
from searchmesh.router.remote_embedder import RemoteEmbedder
from searchmesh.router.remote_reranker import RemoteReranker
from searchmesh.router.reranking import Reranking
from searchmesh.router.retrieval import Retrieval
from searchmesh.router.search import Searcher
from searchmesh.router.servicers import CollectionsServicer, DocumentsServicer, RetrieverServicer, RouterServicer
from searchmesh.router.settings import RouterSettings
from searchmesh.runtime.channels import connect
from searchmesh.runtime.errors import IndexUnavailable
from searchmesh.runtime.server import Service
from searchmesh.v1 import models_pb2, router_pb2

log = logging.getLogger(__name__)

_WARM_PAUSE_S = 0.5


@asynccontextmanager
async def build(settings: RouterSettings) -> AsyncIterator[Service]:
    """The service; on exit its connections are closed."""
    async with AsyncExitStack() as open_:
        index = RedisIndex(
            settings.index_url,
            read_timeout_s=settings.index_read_timeout_ms / 1000,
            write_timeout_s=settings.index_write_timeout_ms / 1000,
        )
        open_.push_async_callback(index.close)
        key = settings.api_key.get_secret_value()
        embedding = await open_.enter_async_context(
            connect(settings.embedding_target, tls=settings.tls, api_key=key, watch_health=True)
        )
        reranking = await open_.enter_async_context(
            connect(settings.reranker_target, tls=settings.tls, api_key=key, watch_health=True)
        )
        budgets = Budgets(
            embed_s=settings.embed_timeout_ms / 1000,
            rerank_s=settings.rerank_timeout_ms / 1000,
            source_s=settings.source_timeout_ms / 1000,
        )
        sources = {
            address.name: RemoteSource(
                address, await open_.enter_async_context(connect(address.target)), patience_s=budgets.source_s
            )
            for address in settings.sources
        }
        embedder = RemoteEmbedder(embedding, patience_s=budgets.embed_s)
        collections = Collections(index, embedder, reserved=sources.keys())
        searcher = Searcher(
            index,
            collections,
            Retrieval(index, embedder, sources, budgets),
            Reranking(RemoteReranker(reranking, patience_s=budgets.rerank_s), budgets),
            sources=sources.keys(),
        )
        limits = IndexingLimits(
            batch_documents=settings.index_batch_documents,
            window=settings.index_window,
            embed_timeout_s=settings.index_embed_timeout_ms / 1000,
            patience_s=settings.index_patience_s,
            max_image_bytes=settings.max_image_bytes,
        )
        services = router_pb2.DESCRIPTOR.services_by_name
        models = models_pb2.DESCRIPTOR.services_by_name["Models"]
        yield Service(
            {
                services["Router"]: RouterServicer(searcher, max_image_bytes=settings.max_image_bytes),
                services["Retriever"]: RetrieverServicer(searcher, max_image_bytes=settings.max_image_bytes),
                services["Collections"]: CollectionsServicer(collections),
                services["Documents"]: DocumentsServicer(index, collections, Indexer(index, embedder, limits)),
                models: ModelsServicer([("embedding service", embedding), ("reranking service", reranking)]),
            },
            warm=lambda: _index_answers(index),
        )


async def _index_answers(index: Index) -> None:
    """Return when the index is there. Embedding and reranking may come later: searches do without and say so."""
    while True:
        try:
            await index.open()
        except IndexUnavailable as error:
            log.warning("waiting for the index: %s", error.message)
            await asyncio.sleep(_WARM_PAUSE_S)
        else:
            return
