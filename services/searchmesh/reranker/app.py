"""The parts of the reranking service, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from searchmesh.encoding import Encoders, ImageReader
from searchmesh.encoding.models import ModelsServicer
from searchmesh.fetch import Fetcher
from searchmesh.images import ImageLoader
from searchmesh.reranker.scorers import Scorers, ranks
from searchmesh.reranker.servicer import RerankerServicer
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.runtime.server import Service
from searchmesh.triton import TritonBackend, TritonPools
from searchmesh.v1 import models_pb2, reranker_pb2


@asynccontextmanager
async def build(settings: RerankerSettings) -> AsyncIterator[Service]:
    """The service; on exit its connections are closed."""
    backend = TritonPools(settings.triton_url, settings.triton_routes, partial(TritonBackend, tls=settings.tls))
    encoders = Encoders(settings, backend, ranks)
    fetcher = Fetcher(settings)
    loader = ImageLoader(fetcher, settings.image_limits, threads=settings.image_threads)
    images = ImageReader(loader, at_once=settings.images_at_once, max_held=settings.max_held_images)
    servicer = RerankerServicer(Scorers(encoders, images, settings), settings)
    try:
        yield Service(
            {
                reranker_pb2.DESCRIPTOR.services_by_name["Reranker"]: servicer,
                models_pb2.DESCRIPTOR.services_by_name["Models"]: ModelsServicer(encoders),
            },
            warm=encoders.warm,
        )
    finally:
        encoders.close()
        loader.close()
        await fetcher.close()
        await backend.close()
