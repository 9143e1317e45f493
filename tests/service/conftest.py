"""Servers that the tests of this folder share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from searchmesh.router.index.redis_engine import RedisIndex
from support.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with the search module. Not to be stopped or paused."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def index(redis_server: RedisServer) -> AsyncIterator[RedisIndex]:
    """An empty index."""
    with redis_server.client() as client:
        client.flushall()
    index = RedisIndex(redis_server.url, read_timeout_s=1.0, write_timeout_s=5.0)
    yield index
    await index.close()
