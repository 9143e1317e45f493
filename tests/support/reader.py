"""A reader behind real gRPC, on an event loop in a thread, so that the tests of a module can share it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from searchmesh.client import AsyncClient
from searchmesh.reader.app import build
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.server import Service, serve
from support.generator import FakeGenerators
from support.ports import free_port


@contextmanager
def running_reader(generators: FakeGenerators | None = None, **settings: Any) -> Iterator[str]:
    """The target of a reader with one parser, ready, and stopped at the end."""
    own = ReaderSettings(port=free_port(100), **{"parsers": 1, "drain_wait_s": 0.0, "drain_grace_s": 1.0, **settings})
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ready: list[str] = []
    changed = threading.Event()

    async def run() -> None:
        async with build(own, generators) as service:

            async def warm() -> None:
                await service.warm()
                ready.append("ready")
                loop.call_later(0.05, changed.set)  # by then the calls are let in

            await serve(own, Service(service.servicers, warm), stop)

    def thread() -> None:
        try:
            loop.run_until_complete(run())
        finally:
            changed.set()

    runner = threading.Thread(target=thread)
    runner.start()
    changed.wait(60)
    try:
        assert ready, "the reader did not become ready"
        yield f"127.0.0.1:{own.port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        runner.join(30)
        loop.close()


def client_of_reader(target: str) -> AsyncClient:
    """A client that knows nothing else."""
    return AsyncClient(reader=target, timeout_s=60)
