"""Bidirectional streams that survive a cut: what was not acknowledged is kept and sent again."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc
import grpc.aio

from searchmesh.client.retries import as_error, retry_delay_s
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import Internal, SearchmeshError, Unavailable
from searchmesh.runtime.telemetry import inject

Item = TypeVar("Item")
Req = TypeVar("Req")
Res = TypeVar("Res")

MAX_TRIES = 8
"""Tries in a row without anything acknowledged before a stream gives up. With the waits below they span about 20 s:
enough for a service to be restarted."""

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0


class Outbox(Generic[Item]):
    """The items of a source on their way: read ahead a little, kept until they are acknowledged.

    The source is read by one task of its own, so a stream that is cut never cancels the source halfway.
    """

    def __init__(self, source: Iterable[Item] | AsyncIterable[Item], read_ahead: int) -> None:
        self._ready: asyncio.Queue[Item | None] = asyncio.Queue(read_ahead)
        self._kept: deque[Item] = deque()
        self._sent = 0
        self._exhausted = False
        self._failure: Exception | None = None
        self.acknowledged = 0
        """Items of the source, from its start, that need not be sent again."""
        self._reader = asyncio.create_task(self._read(source))

    async def _read(self, source: Iterable[Item] | AsyncIterable[Item]) -> None:
        try:
            if isinstance(source, AsyncIterable):
                async for item in source:
                    await self._ready.put(item)
            else:
                for item in source:
                    await self._ready.put(item)
        except Exception as failure:
            self._failure = failure
        await self._ready.put(None)

    def rewind(self) -> None:
        """Send what is not acknowledged again."""
        self._sent = 0

    async def batch(self, size: int, max_bytes: float, bytes_of: Callable[[Item], int]) -> list[Item]:
        """The next items to send, at least one while there are any: what is ready, up to `size` and `max_bytes`.

        Raises what the source raised, once everything before it was handed out.
        """
        items: list[Item] = []
        total = 0
        while len(items) < size and (not items or self._sent < len(self._kept) or not self._ready.empty()):
            if self._sent == len(self._kept) and not await self._fetch():
                break
            item = self._kept[self._sent]
            total += bytes_of(item)
            if items and total > max_bytes:
                break
            items.append(item)
            self._sent += 1
        if not items and self._failure is not None:
            raise self._failure
        return items

    async def _fetch(self) -> bool:
        if self._exhausted:
            return False
        item = await self._ready.get()
        if item is None:
            self._exhausted = True
            return False
        self._kept.append(item)
        return True

    def acknowledge(self, acknowledged: int) -> bool:
        """Drop the first items, up to `acknowledged` of the source. Whether that dropped any."""
        before = self.acknowledged
        while self.acknowledged < acknowledged and self._sent:
            self._kept.popleft()
            self._sent -= 1
            self.acknowledged += 1
        return self.acknowledged > before

    @property
    def empty(self) -> bool:
        """Whether the source has ended and everything of it is acknowledged."""
        return self._exhausted and not self._kept

    async def close(self) -> None:
        """Stop reading the source."""
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader


@dataclass(frozen=True)
class Plan(Generic[Item, Req, Res]):
    """How items become requests, and responses acknowledgements."""

    method: grpc.aio.StreamStreamMultiCallable[Req, Res]
    pack: Callable[[list[Item]], Req]
    """The request that carries some items."""
    acknowledged: Callable[[Res], int]
    """How many items of this stream, from its start, a response acknowledges."""
    batch_size: int = 1
    max_bytes: float = math.inf
    bytes_of: Callable[[Item], int] = lambda _: 0


async def exchange(
    plan: Plan[Item, Req, Res], source: Iterable[Item] | AsyncIterable[Item], timeout_s: float | None
) -> AsyncGenerator[tuple[int, Res], None]:
    """Send the source and yield each response with the number of items that earlier, cut streams had acknowledged.

    After UNAVAILABLE, and when shed, the stream is opened again from the first item that is not acknowledged, at most
    `MAX_TRIES` times in a row without progress. gRPC's flow control is the brake on the source: items are read as
    fast as the service takes them. Raises a SearchmeshError, or what the source raised.
    """
    deadline = Deadline.after(timeout_s)
    outbox = Outbox(source, plan.batch_size)
    tries = 0
    try:
        while True:
            base = outbox.acknowledged
            try:
                async with aclosing(_stream(plan, outbox, deadline)) as responses:
                    async for response in responses:
                        if outbox.acknowledge(base + plan.acknowledged(response)):
                            tries = 0
                        yield base, response
                if outbox.empty:
                    return
                raise Internal("the stream ended before everything was acknowledged")
            except grpc.aio.AioRpcError as raised:
                error = as_error(raised)
                tries += 1
                wait_s = _wait_s(error, tries)
                if wait_s is None or tries == MAX_TRIES or wait_s >= deadline.bounded(math.inf):
                    raise error from None
            await asyncio.sleep(wait_s)
            outbox.rewind()
    finally:
        await outbox.close()


def _wait_s(error: SearchmeshError, tries: int) -> float | None:
    if isinstance(error, Unavailable):
        return min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** (tries - 1)) * random.uniform(0.8, 1.2)
    return retry_delay_s(error)


async def _stream(plan: Plan[Item, Req, Res], outbox: Outbox[Item], deadline: Deadline) -> AsyncGenerator[Res, None]:
    """The responses of one stream. Raises AioRpcError, or what the source raised."""
    call = plan.method(None, timeout=deadline.remaining_s(), metadata=inject())

    async def send() -> None:
        # A stream that ended refuses writes; why it ended is what the reading side raises.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while batch := await outbox.batch(plan.batch_size, plan.max_bytes, plan.bytes_of):
                await call.write(plan.pack(batch))
            await call.done_writing()

    sender = asyncio.create_task(send())
    # A source that failed must end the stream, or both sides would wait for each other.
    sender.add_done_callback(lambda task: call.cancel() if not task.cancelled() and task.exception() else None)
    try:
        async for response in call:
            yield response
    except asyncio.CancelledError:
        if sender.done() and not sender.cancelled() and (failure := sender.exception()):
            raise failure from None
        raise
    finally:
        call.cancel()
        sender.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await sender
