"""The row cache on a real Redis: what is near, what is damaged, what is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest

from searchmesh.cache import Entry, RowCache
from support.redis_server import RedisServer

KEY = b"k" * 32


def _entry() -> Entry:
    return Entry(np.ones((1, 8), dtype=np.float32), tokens=3, truncated=False)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(200):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never")


@pytest.fixture
async def cache(redis_server: RedisServer) -> AsyncIterator[RowCache]:
    with redis_server.client() as client:
        client.flushall()
    cache = RowCache(redis_server.url, ttl_s=100, timeout_s=0.5, near_bytes=1_000_000)
    yield cache
    await cache.close()


async def test_a_filled_entry_is_found_and_expires(cache: RowCache, redis_server: RedisServer) -> None:
    cache.fill([KEY], [_entry()])
    with redis_server.client() as client:
        await _until(lambda: asyncio.to_thread(lambda: bool(client.exists(KEY))))
        assert 90 <= client.ttl(KEY) <= 100
    found = await cache.lookup([b"other", KEY])
    assert found is not None
    assert found[0] is None
    assert found[1] is not None
    assert np.array_equal(found[1].vectors, _entry().vectors)


async def test_what_was_read_once_from_redis_is_near(cache: RowCache, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, _entry().to_bytes())
        assert await cache.lookup([KEY]) != [None]
        client.delete(KEY)
    assert await cache.lookup([KEY]) != [None]


async def test_what_was_only_filled_is_not_near(cache: RowCache, redis_server: RedisServer) -> None:
    cache.fill([KEY], [_entry()])
    with redis_server.client() as client:
        await _until(lambda: asyncio.to_thread(lambda: bool(client.exists(KEY))))
        client.delete(KEY)
    assert await cache.lookup([KEY]) == [None]


async def test_a_damaged_entry_is_a_miss_and_goes(cache: RowCache, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.set(KEY, _entry().to_bytes()[:-1] + b"\xff")
        assert await cache.lookup([KEY]) == [None]
        await _until(lambda: asyncio.to_thread(lambda: not client.exists(KEY)))


async def test_a_redis_that_is_not_there_costs_one_timeout_and_a_breaker(redis_server: RedisServer) -> None:
    cache = RowCache("redis://127.0.0.1:1/0", ttl_s=100, timeout_s=0.05, near_bytes=0, retry_s=60)
    loop = asyncio.get_running_loop()
    start = loop.time()
    assert [await cache.lookup([KEY]) for _ in range(500)] == [None] * 500
    assert loop.time() - start < 1.0
    await cache.close()


async def test_a_full_redis_refuses_entries_and_nobody_notices(cache: RowCache, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.config_set("maxmemory", 1)
        client.config_set("maxmemory-policy", "noeviction")
        try:
            cache.fill([KEY], [_entry()])
            await asyncio.sleep(0.1)
            assert await cache.lookup([KEY]) == [None]
        finally:
            client.config_set("maxmemory", 0)
