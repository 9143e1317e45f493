"""The parts of the embedding service, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from searchmesh.cache import RowCache
from searchmesh.catalog import ExportedModel
from searchmesh.embedding.pipeline import Pipeline
from searchmesh.embedding.servicer import EmbeddingServicer
from searchmesh.embedding.settings import EmbeddingSettings
from searchmesh.encoding import Encoders
from searchmesh.encoding.models import ModelsServicer
from searchmesh.fetch import Fetcher
from searchmesh.images import ImageLoader
from searchmesh.runtime.server import Service
from searchmesh.triton import TritonBackend, TritonPools
from searchmesh.v1 import embedding_pb2, models_pb2


def _serves(model: ExportedModel) -> bool:
    return model.card.kind in ("embedding", "multi_vector")


@asynccontextmanager
async def build(settings: EmbeddingSettings) -> AsyncIterator[Service]:
    """The service; on exit its connections are closed."""
    backend = TritonPools(settings.triton_url, settings.triton_routes, partial(TritonBackend, tls=settings.tls))
    encoders = Encoders(settings, backend, _serves)
    cache = (
        RowCache(
            settings.cache_url,
            ttl_s=settings.cache_ttl_s,
            timeout_s=settings.cache_timeout_ms / 1000,
            near_bytes=settings.cache_near_mb * 1024 * 1024,
            cluster=settings.cache_cluster,
        )
        if settings.cache_url
        else None
    )
    fetcher = Fetcher(settings)
    images = ImageLoader(fetcher, settings.image_limits, threads=settings.image_threads)
    servicer = EmbeddingServicer(Pipeline(encoders, cache, images, settings), settings)
    try:
        yield Service(
            {
                embedding_pb2.DESCRIPTOR.services_by_name["Embedding"]: servicer,
                models_pb2.DESCRIPTOR.services_by_name["Models"]: ModelsServicer(encoders),
            },
            warm=encoders.warm,
        )
    finally:
        encoders.close()
        images.close()
        await fetcher.close()
        if cache is not None:
            await cache.close()
        await backend.close()
