"""Latency of single searches while documents are being indexed, against that of an idle mesh."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import suppress

from searchmesh.client import AsyncClient, Document
from searchmesh.runtime.errors import FailedPrecondition, NotFound
from searchmesh_bench.figures.figure import Comparison, Figure, at_most
from searchmesh_bench.figures.questions import questions
from searchmesh_bench.load import Outcome, open_loop
from searchmesh_bench.mesh import Mesh
from searchmesh_bench.pydocs import corpus
from searchmesh_bench.searches import complete_search

_COLLECTION = "bench-indexing"
_DOCUMENTS = 5000
_PER_SECOND = 10.0
_WARM_UP_S = 5.0
_IDLE_S = 40.0
_LONGEST_S = 600.0


async def indexing(mesh: Mesh) -> Figure:
    """p99 of a steady trickle of searches in a collection, before and while as many documents again are indexed."""
    client = mesh.client
    documents = corpus()[:_DOCUMENTS]
    await _drop(client)
    await client.create_collection(_COLLECTION)
    await _index(client, documents)
    queries = questions(documents)
    await _searches(client, queries, seconds=_WARM_UP_S)
    idle = await _searches(client, queries, seconds=_IDLE_S)
    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        searching = group.create_task(_searches(client, queries, seconds=_LONGEST_S, stop=done))
        await _index(client, _fresh(documents))
        done.set()
    busy = searching.result()
    await _drop(client)
    return Figure(
        name="indexing",
        title="Single searches while documents are being indexed ÷ when idle",
        measured="indexing, ms",
        reference="idle, ms",
        result="ratio",
        comparisons=[
            Comparison(
                "search p99",
                busy.latency.p99_ms,
                idle.latency.p99_ms,
                busy.latency.p99_ms / idle.latency.p99_ms,
                at_most(3.0),
            ),
            Comparison(
                "search p50",
                busy.latency.p50_ms,
                idle.latency.p50_ms,
                busy.latency.p50_ms / idle.latency.p50_ms,
            ),
        ],
        conditions=[
            f"A new query every {1 / _PER_SECOND:g} s, hybrid, not reranked, in the collection that is indexed into;"
            f" {busy.latency.count} searches during the indexing, {idle.latency.count} before it.",
            f"{len(documents)} passages were there, {len(documents)} that no cache had seen were indexed in"
            f" {busy.seconds:.0f} s.",
        ],
    )


def _fresh(documents: list[Document]) -> list[Document]:
    """Documents whose texts were never embedded before."""
    mark = secrets.token_hex(3)
    return [
        Document(f"{mark}-{document.id}", f"{document.text}\n{mark}", document.title, document.metadata)
        for document in documents
    ]


async def _searches(
    client: AsyncClient, queries: Iterator[str], *, seconds: float, stop: asyncio.Event | None = None
) -> Outcome:
    async def search(_: int) -> None:
        await complete_search(client, _COLLECTION, next(queries), rerank=False)

    return (await open_loop(search, per_second=_PER_SECOND, seconds=seconds, stop=stop)).checked()


async def _index(client: AsyncClient, documents: list[Document]) -> None:
    async for progress in client.index(_COLLECTION, documents):
        if progress.failed:
            raise FailedPrecondition(f"{progress.failed} documents could not be indexed")


async def _drop(client: AsyncClient) -> None:
    with suppress(NotFound):
        await client.delete_collection(_COLLECTION)
