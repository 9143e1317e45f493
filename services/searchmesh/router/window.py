"""Batches of a stream of documents, several in flight, answered in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from searchmesh.router.index import Document
from searchmesh.runtime.errors import SearchmeshError

R = TypeVar("R")

MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Text and images of one batch, unless a single document has more: bounds the memory of a window and the size of a
request. A character counts as four bytes, which is the most that it can have."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A document at its place in the stream, from 0; with `error` if it could not be read."""

    position: int
    document: Document
    error: SearchmeshError | None = None


class Window(Generic[R]):
    """Runs `process` on batches of what arrives.

    A batch takes what is there and waits for nothing, so a slow sender is answered at once and a fast one gets full
    batches. Ids are unique in a batch and among those in flight: of two versions of a document the later one stays.
    """

    def __init__(
        self,
        arriving: AsyncIterator[Sequence[Arrival]],
        process: Callable[[Sequence[Arrival]], Coroutine[Any, Any, R]],
        *,
        batch_documents: int,
        batches: int,
    ) -> None:
        self._arriving = arriving
        self._process = process
        self._batch_documents = batch_documents
        self._batches = batches
        self._buffer: deque[Arrival] = deque()
        self._flying: deque[tuple[asyncio.Task[R], frozenset[str]]] = deque()
        self._reading: asyncio.Task[Sequence[Arrival] | None] | None = None
        self._ended = False

    async def results(self) -> AsyncGenerator[R, None]:
        """The results, in the order of the stream. Raises what a batch or the stream raised; then all else ends."""
        try:
            while self._buffer or self._flying or not self._ended:
                while batch := self._next_batch():
                    ids = frozenset(arrival.document.id for arrival in batch)
                    self._flying.append((asyncio.create_task(self._process(batch)), ids))
                await self._wait()
                while self._flying and self._flying[0][0].done():
                    yield self._flying.popleft()[0].result()
        finally:
            await self._cancel()

    def _next_batch(self) -> list[Arrival]:
        batch: list[Arrival] = []
        if len(self._flying) >= self._batches:
            return batch
        taken = {id for _, ids in self._flying for id in ids}
        size = 0
        while self._buffer and len(batch) < self._batch_documents:
            document = self._buffer[0].document
            size += _size(document)
            if document.id in taken or (batch and size > MAX_BATCH_BYTES):
                break
            taken.add(document.id)
            batch.append(self._buffer.popleft())
        return batch

    async def _wait(self) -> None:
        """Until something has arrived, the stream has ended, or the oldest batch is done."""
        if self._reading is None and not self._ended and len(self._buffer) < self._batch_documents:
            self._reading = asyncio.create_task(_next(self._arriving))
        awaited: list[asyncio.Task[Any]] = [task for task, _ in list(self._flying)[:1]]
        if self._reading is not None:
            awaited.append(self._reading)
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if self._reading is not None and self._reading.done():
            arrived = self._reading.result()
            self._reading = None
            self._ended = arrived is None
            self._buffer.extend(arrived or ())

    async def _cancel(self) -> None:
        tasks: list[asyncio.Task[Any]] = [task for task, _ in self._flying]
        if self._reading is not None:
            tasks.append(self._reading)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _next(arriving: AsyncIterator[Sequence[Arrival]]) -> Sequence[Arrival] | None:
    return await anext(arriving, None)


def _size(document: Document) -> int:
    return 4 * (len(document.title) + len(document.text)) + (len(document.image.data) if document.image else 0)
