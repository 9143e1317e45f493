"""The parts of the reader, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from searchmesh.fetch import Fetcher
from searchmesh.generation.models import ModelsServicer
from searchmesh.reader import jobs
from searchmesh.reader.images import ImageReader
from searchmesh.reader.model.decoded import DecodedGenerators
from searchmesh.reader.model.generator import Generators
from searchmesh.reader.reading import PageReader
from searchmesh.reader.servicer import ReaderServicer
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.server import Service
from searchmesh.sandbox import Pool
from searchmesh.triton import TritonBackend, TritonPools
from searchmesh.v1 import models_pb2, reader_pb2


@asynccontextmanager
async def build(settings: ReaderSettings, generators: Generators | None = None) -> AsyncIterator[Service]:
    """The service; on exit its processes and connections are closed. It is ready when its parsers are."""
    pool = Pool(
        "reader",
        jobs.__name__,
        size=settings.parsers,
        memory_mb=settings.parser_memory_mb,
        limit_s=settings.parser_limit_s,
        waiting=settings.parsers_waiting,
    )
    if generators is None:
        backend = TritonPools(settings.triton_url, settings.triton_routes, partial(TritonBackend, tls=settings.tls))
        generators = DecodedGenerators(settings, backend)
    fetcher = Fetcher(settings)
    images = ImageReader(settings)
    reader = PageReader(settings, pool, fetcher, generators, images)
    try:
        yield Service(
            {
                reader_pb2.DESCRIPTOR.services_by_name["Reader"]: ReaderServicer(reader, settings),
                models_pb2.DESCRIPTOR.services_by_name["Models"]: ModelsServicer(generators),
            },
            warm=pool.start,
        )
    finally:
        await pool.close()
        await fetcher.close()
        await images.close()
        await generators.close()
