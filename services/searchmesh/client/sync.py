"""The blocking client: `AsyncClient` behind a thread, with the same methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from searchmesh.client.aio import AsyncClient
from searchmesh.client.bridge import Bridge

P = ParamSpec("P")
R = TypeVar("R")


def _call(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Client, P], R]:
    """A method that blocks until the asynchronous one of the same signature is done."""

    @functools.wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._bridge.run(method(self._client, *args, **kwargs))

    return call


def _stream(
    method: Callable[Concatenate[AsyncClient, P], AsyncGenerator[R, None]], *, source: str, chunk: int
) -> Callable[Concatenate[Client, P], Iterator[R]]:
    """A plain generator with the signature of the asynchronous one.

    `source` is the argument that is an iterable; it is read `chunk` items at a time, in the caller's thread.
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def stream(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        bound = signature.bind(self._client, *args, **kwargs)

        def start(pulled: AsyncIterable[Any]) -> AsyncGenerator[R, None]:
            bound.arguments[source] = pulled
            return method(*bound.args, **bound.kwargs)

        return self._bridge.iterate(start, bound.arguments[source], chunk)

    return stream


def _events(
    method: Callable[Concatenate[AsyncClient, P], AsyncGenerator[R, None]],
) -> Callable[Concatenate[Client, P], Iterator[R]]:
    """As `_stream`, for a method that reads no iterable."""

    @functools.wraps(method)
    def events(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        return self._bridge.iterate(lambda _: method(self._client, *args, **kwargs), (), 1)

    return events


class Client:
    """A client of the mesh for code without an event loop::

        with Client() as client:
            result = client.search("docs", "how do I compress a file")

    Same arguments, results and errors as `AsyncClient`; what is an asynchronous iterator there is a plain one here.
    May be used by several threads.
    """

    def __init__(
        self,
        router: str | None = None,
        embedding: str | None = None,
        reranker: str | None = None,
        timeout_s: float = 30.0,
        *,
        reader: str | None = None,
        vlm: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._client = AsyncClient(router, embedding, reranker, timeout_s, reader=reader, vlm=vlm, api_key=api_key)
        self._bridge = Bridge()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread. The client cannot be used afterwards."""
        if not self._bridge.closed:
            self._bridge.run(self._client.close())
            self._bridge.close()

    embed = _call(AsyncClient.embed)
    rerank = _call(AsyncClient.rerank)
    embed_stream = _stream(AsyncClient.embed_stream, source="batches", chunk=1)
    search = _call(AsyncClient.search)
    create_collection = _call(AsyncClient.create_collection)
    get_collection = _call(AsyncClient.get_collection)
    list_collections = _call(AsyncClient.list_collections)
    delete_collection = _call(AsyncClient.delete_collection)
    index = _stream(AsyncClient.index, source="documents", chunk=64)
    get_documents = _call(AsyncClient.get_documents)
    delete_documents = _call(AsyncClient.delete_documents)
    read = _call(AsyncClient.read)
    read_stream = _events(AsyncClient.read_stream)
    ask = _call(AsyncClient.ask)
    ask_stream = _events(AsyncClient.ask_stream)
    models = _call(AsyncClient.models)
