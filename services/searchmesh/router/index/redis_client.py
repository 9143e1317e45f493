"""Commands to Redis: bounded in time, tried once, behind one breaker, and failing in this project's words."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from searchmesh.runtime.breaker import Breaker
from searchmesh.runtime.errors import FailedPrecondition, IndexUnavailable, Internal, NotFound, SearchmeshError

T = TypeVar("T")

Command = Sequence[Any]
"""Name and arguments; bytes go out as they are."""

MAX_CONNECTIONS = 64
"""More commands at once wait for a connection: Redis answers them one after the other anyway."""

_GONE = ("no such index", "unknown index name")


class RedisClient:
    """Runs commands against one Redis. Replies are bytes, lists and integers (RESP2).

    Raises IndexUnavailable if Redis cannot be reached, does not answer within the timeout or cannot serve now,
    NotFound for a search index that is not there, FailedPrecondition when Redis is full.
    """

    def __init__(self, url: str, *, read_timeout_s: float, write_timeout_s: float) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            # RESP2: FT.SEARCH answers a flat list there, and a map of maps in RESP3.
            protocol=2,
            max_connections=MAX_CONNECTIONS,
            timeout=read_timeout_s,
            socket_connect_timeout=read_timeout_s,
            # Each call has its own bound instead, below.
            socket_timeout=None,
            # redis-py's default of ten retries with backoff costs seconds per call on a dead server.
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)
        self._read_timeout_s = read_timeout_s
        self._write_timeout_s = write_timeout_s
        self._breaker = Breaker("index")

    async def read(self, *command: Any) -> Any:
        """The reply of a command that should take milliseconds."""
        return await self._bounded(self._single(command), self._read_timeout_s)

    async def read_all(self, commands: Sequence[Command]) -> list[Any]:
        """The replies of several such commands, in one round trip."""
        return await self._bounded(self._pipelined(commands), self._read_timeout_s)

    async def write(self, *command: Any) -> Any:
        """The reply of a command that may take long, such as creating an index."""
        return await self._bounded(self._single(command), self._write_timeout_s)

    async def write_all(self, commands: Sequence[Command], *, atomic: bool = False) -> list[Any]:
        """The replies of several writes; the first that failed is raised when all have been tried."""
        return await self._bounded(self._pipelined(commands, atomic=atomic), self._write_timeout_s)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose(close_connection_pool=True)

    def _single(self, command: Command) -> Coroutine[Any, Any, Any]:
        work: Coroutine[Any, Any, Any] = self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        return work

    async def _pipelined(self, commands: Sequence[Command], *, atomic: bool = False) -> list[Any]:
        async with self._redis.pipeline(transaction=atomic) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute()

    async def _bounded(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        if not self._breaker.allows():
            work.close()
            raise IndexUnavailable("the index has not been answering and is being given a rest")
        try:
            async with asyncio.timeout(seconds):
                reply = await work
        except (RedisError, OSError, TimeoutError) as error:
            failure = _meaning(error, seconds)
            if isinstance(failure, IndexUnavailable):
                self._breaker.failure()
            else:
                self._breaker.success()
            raise failure from error
        self._breaker.success()
        return reply


def _meaning(error: Exception, seconds: float) -> SearchmeshError:
    match error:
        case BusyLoadingError():
            return IndexUnavailable("the index is still being loaded", reason="INDEX_LOADING", retry_after_s=2.0)
        case ReadOnlyError():
            return IndexUnavailable("the index is a replica that takes no writes", reason="INDEX_READ_ONLY")
        case OutOfMemoryError():
            return FailedPrecondition("the index is full; give its Redis more memory", reason="INDEX_FULL")
        case AuthenticationError() | NoPermissionError():
            return IndexUnavailable("the index refuses this service's credentials", reason="INDEX_CREDENTIALS")
        case ResponseError() if any(text in str(error).lower() for text in _GONE):
            return NotFound("the collection is no more", reason="COLLECTION_NOT_FOUND")
        case ResponseError():
            # The text may quote a document or a query.
            return Internal("the index refused a command", reason="INDEX_REFUSED")
        case TimeoutError():
            return IndexUnavailable(f"the index did not answer within {seconds * 1000:.0f} ms")
        case _:
            return IndexUnavailable("the index cannot be reached")
