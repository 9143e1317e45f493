"""The parts of the vision-language service, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from searchmesh.fetch import Fetcher
from searchmesh.images import ImageLoader
from searchmesh.runtime.server import Service
from searchmesh.triton import TritonBackend, TritonPools
from searchmesh.v1 import models_pb2, vlm_pb2
from searchmesh.vlm.servicer import ModelsServicer, VlmServicer
from searchmesh.vlm.settings import VlmSettings
from searchmesh.vlm.talkers import Talkers


@asynccontextmanager
async def build(settings: VlmSettings) -> AsyncIterator[Service]:
    """The service; on exit its connections are closed."""
    backend = TritonPools(settings.triton_url, settings.triton_routes, partial(TritonBackend, tls=settings.tls))
    fetcher = Fetcher(settings)
    images = ImageLoader(fetcher, settings.image_limits, threads=settings.image_threads)
    talkers = Talkers(settings, backend, images)
    try:
        yield Service(
            {
                vlm_pb2.DESCRIPTOR.services_by_name["Vlm"]: VlmServicer(talkers, settings),
                models_pb2.DESCRIPTOR.services_by_name["Models"]: ModelsServicer(talkers),
            },
            warm=talkers.warm,
        )
    finally:
        talkers.close()
        images.close()
        await fetcher.close()
        await backend.close()
