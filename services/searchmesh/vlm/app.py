"""The parts of the vision-language service, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from searchmesh.fetch import Fetcher
from searchmesh.generation.models import ModelsServicer
from searchmesh.images import ImageLoader
from searchmesh.runtime.server import Service
from searchmesh.sandbox import Pool, json_output
from searchmesh.triton import TritonBackend, TritonPools
from searchmesh.v1 import models_pb2, vlm_pb2
from searchmesh.vlm.servicer import VlmServicer
from searchmesh.vlm.settings import VlmSettings
from searchmesh.vlm.talkers import Talkers

_CHECK_S = 5.0
"""Processor time for holding a text against its JSON Schema: milliseconds, but for patterns made to take for ever."""


@asynccontextmanager
async def build(settings: VlmSettings) -> AsyncIterator[Service]:
    """The service; on exit its processes and connections are closed."""
    checker = Pool("vlm", json_output.__name__, size=1, memory_mb=512, limit_s=_CHECK_S, waiting=64)
    backend = TritonPools(settings.triton_url, settings.triton_routes, partial(TritonBackend, tls=settings.tls))
    fetcher = Fetcher(settings)
    images = ImageLoader(fetcher, settings.image_limits, threads=settings.image_threads)
    talkers = Talkers(settings, backend, images, checker)

    async def warm() -> None:
        await checker.start()
        await talkers.warm()

    try:
        yield Service(
            {
                vlm_pb2.DESCRIPTOR.services_by_name["Vlm"]: VlmServicer(talkers, settings),
                models_pb2.DESCRIPTOR.services_by_name["Models"]: ModelsServicer(talkers),
            },
            warm=warm,
        )
    finally:
        await checker.close()
        talkers.close()
        images.close()
        await fetcher.close()
        await backend.close()
