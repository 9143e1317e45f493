"""Blocking use of asynchronous code: an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from searchmesh.runtime.errors import FailedPrecondition

Item = TypeVar("Item")
R = TypeVar("R")


@dataclass(frozen=True)
class _Wanted(Generic[Item]):
    """The loop asks the caller's thread for the next items of its source; an empty list is the end."""

    items: asyncio.Future[list[Item]]


@dataclass(frozen=True)
class _Result(Generic[R]):
    value: R


@dataclass(frozen=True)
class _End:
    failure: BaseException | None


class Bridge:
    """Runs coroutines and asynchronous generators for a thread that blocks. May be used by several threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="searchmesh-client", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """What the coroutine returns or raises. An interrupt (Ctrl-C) cancels it."""
        future = self._submit(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _submit(self, coroutine: Coroutine[Any, Any, R]) -> concurrent.futures.Future[R]:
        if self.closed:
            coroutine.close()
            raise FailedPrecondition("the client is closed", reason="CLIENT_CLOSED")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def iterate(
        self,
        start: Callable[[AsyncIterable[Item]], AsyncGenerator[R, None]],
        source: Iterable[Item] | AsyncIterable[Item],
        chunk: int,
    ) -> Iterator[R]:
        """What ``start(source)`` yields.

        A plain source is read in the caller's thread, `chunk` items at a time, while the caller waits for a result:
        it may block, and things that belong to one thread may be used in it.
        """
        events: queue.SimpleQueue[_Wanted[Item] | _Result[R] | _End] = queue.SimpleQueue()
        iterator = iter(()) if isinstance(source, AsyncIterable) else iter(source)
        pulled = source if isinstance(source, AsyncIterable) else _pulled(events)
        work = self._submit(_produce(start, pulled, events))
        try:
            while not isinstance(event := events.get(), _End):
                if isinstance(event, _Result):
                    yield event.value
                else:
                    self._answer(event, iterator, chunk)
            if event.failure is not None:
                raise event.failure
        finally:
            work.cancel()
            with suppress(concurrent.futures.CancelledError):
                work.result()

    def _answer(self, wanted: _Wanted[Item], iterator: Iterator[Item], chunk: int) -> None:
        failure: Exception | None = None
        items: list[Item] = []
        try:
            items = list(islice(iterator, chunk))
        except Exception as raised:
            failure = raised

        def answer() -> None:
            if wanted.items.done():
                return
            if failure is None:
                wanted.items.set_result(items)
            else:
                wanted.items.set_exception(failure)

        self._loop.call_soon_threadsafe(answer)

    def close(self) -> None:
        """Cancel what still runs and end the thread."""
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _pulled(events: queue.SimpleQueue[Any]) -> AsyncIterator[Any]:
    loop = asyncio.get_running_loop()
    while True:
        wanted = loop.create_future()
        events.put(_Wanted(wanted))
        items = await wanted
        if not items:
            return
        for item in items:
            yield item


async def _produce(
    start: Callable[[AsyncIterable[Item]], AsyncGenerator[R, None]],
    source: AsyncIterable[Item],
    events: queue.SimpleQueue[Any],
) -> None:
    try:
        async with aclosing(start(source)) as results:
            async for result in results:
                events.put(_Result(result))
        events.put(_End(None))
    except BaseException as failure:
        events.put(_End(failure))
        if not isinstance(failure, Exception):
            raise


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
