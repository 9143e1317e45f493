"""Entries in Redis. A cache that is slow, full or gone costs a few milliseconds and a metric, never a request."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from searchmesh.cache.entries import Entry
from searchmesh.cache.gathering import GatheredReads
from searchmesh.cache.near import NearRows
from searchmesh.runtime.breaker import Breaker
from searchmesh.runtime.telemetry import meter

log = logging.getLogger(__name__)

_TTL_JITTER = 0.1
"""Entries live up to this share shorter than the TTL, so that those filled together do not expire together."""

_MOST_FILLS = 64
"""Fills that may be on their way; when Redis cannot keep up, new entries are not stored."""

_rows = meter().create_counter(
    "embedding_cache_rows", description="Rows looked up, by result: near, hit, miss, bypassed."
)
_NEAR, _HIT, _MISS, _BYPASSED = ({"result": result} for result in ("near", "hit", "miss", "bypassed"))


class RowCache:
    """Looks up and stores entries by key. Up to `near_bytes` of what is read often stays in this process.

    `timeout_s` bounds each operation; a Redis that fails three times in a row is left alone for `retry_s`.
    """

    def __init__(
        self,
        url: str,
        *,
        ttl_s: int,
        timeout_s: float,
        near_bytes: int,
        cluster: bool = False,
        retry_s: float = 1.0,
    ) -> None:
        options: dict[str, Any] = {
            # Every operation has its own bound here; redis-py's costs as much again as the operation.
            "socket_timeout": None,
            "socket_connect_timeout": timeout_s,
            # redis-py's default of ten retries with backoff costs seconds per call on a dead server.
            "retry": Retry(NoBackoff(), 0),
        }
        self._redis: Redis | RedisCluster = (
            RedisCluster.from_url(url, **options) if cluster else Redis.from_url(url, **options)
        )
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._breaker = Breaker("cache", open_s=retry_s)
        self._near = NearRows(near_bytes)
        self._reads = GatheredReads(self._mget)
        self._on_their_way: dict[bytes, Entry] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def lookup(self, keys: Sequence[bytes]) -> list[Entry | None] | None:
        """The entry of each key or None, in order; None altogether if nothing is near and Redis gives no answer."""
        entries = [self._near.get(key) or self._on_their_way.get(key) for key in keys]
        missing = [position for position, entry in enumerate(entries) if entry is None]
        if len(missing) < len(keys):
            _rows.add(len(keys) - len(missing), _NEAR)
        if not missing:
            return entries
        values = await self._values([keys[position] for position in missing])
        if values is None:
            _rows.add(len(missing), _BYPASSED)
            return entries if len(missing) < len(keys) else None
        hits = 0
        for position, value in zip(missing, values, strict=True):
            if value is None:
                # It may have been computed while Redis was asked; then the answer is older than the entry.
                entries[position] = self._on_their_way.get(keys[position])
                continue
            entry = entries[position] = Entry.from_bytes(value)
            if entry is None:
                # What is damaged would be a miss for as long as it lives.
                self._run_behind(self._delete(keys[position]))
                continue
            self._near.put(keys[position], entry)
            hits += 1
        if hits:
            _rows.add(hits, _HIT)
        if hits < len(missing):
            _rows.add(len(missing) - hits, _MISS)
        return entries

    async def _values(self, keys: Sequence[bytes]) -> Sequence[bytes | None] | None:
        if not self._breaker.allows():
            return None
        try:
            values = await self._reads.get(keys)
        except (RedisError, OSError, TimeoutError) as error:
            self._breaker.failure()
            if self._breaker.is_open:
                log.warning("cache bypassed: %s", error or type(error).__name__)
            return None
        self._breaker.success()
        return values

    async def _mget(self, keys: Sequence[bytes]) -> list[Any]:
        mget = self._redis.mget_nonatomic if isinstance(self._redis, RedisCluster) else self._redis.mget
        async with asyncio.timeout(self._timeout_s):
            return list(await mget(keys))

    def fill(self, keys: Sequence[bytes], entries: Sequence[Entry]) -> None:
        """Store entries behind the response; until then they are read here. Failing to is no error of any request."""
        if len(self._background) < _MOST_FILLS and not self._breaker.is_open:
            filling = dict(zip(keys, entries, strict=True))
            self._on_their_way.update(filling)
            self._run_behind(self._store(filling))

    async def _store(self, filling: Mapping[bytes, Entry]) -> None:
        try:
            await self._set(filling)
        finally:
            for key in filling:
                self._on_their_way.pop(key, None)

    async def _set(self, filling: Mapping[bytes, Entry]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, entry in filling.items():
            ttl_s = self._ttl_s * (1 - _TTL_JITTER * random.random())
            pipeline.set(key, entry.to_bytes(), ex=max(1, round(ttl_s)))
        # A full cache that may not evict refuses single entries: those are skipped, the rest is stored.
        await pipeline.execute(raise_on_error=False)

    async def _delete(self, key: bytes) -> None:
        await self._redis.delete(key)

    def _run_behind(self, work: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await work
            except (RedisError, OSError, TimeoutError):
                self._breaker.failure()

        task = asyncio.create_task(quietly())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Wait for fills that are on their way (they are bounded by the timeout) and disconnect."""
        if self._background:
            await asyncio.wait(self._background)
        await self._redis.aclose()
