"""Memory of each process of the mesh under a mixed load, and its growth."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping

import numpy as np
import psutil

from searchmesh.client import AsyncClient, Document
from searchmesh_bench.corpora import collection_of
from searchmesh_bench.figures.figure import Comparison, Figure
from searchmesh_bench.figures.questions import questions
from searchmesh_bench.load import Outcome, Request, closed_loop
from searchmesh_bench.mesh import Mesh
from searchmesh_bench.pydocs import corpus
from searchmesh_bench.searches import complete_search

_COLLECTION = "bench-memory"
_DOCUMENTS = 5000
_BATCH = 32
_SAMPLE_S = 1.0
_MIB = 1024 * 1024


async def memory(mesh: Mesh, minutes: float = 5.0) -> Figure:
    """Resident memory before and at the end of the load, and its slope over the load's second half."""
    documents = corpus()[:_DOCUMENTS]
    collection = await collection_of(mesh.client, _COLLECTION, documents, fresh=True)
    before = resident_mib(mesh.pids())
    load = asyncio.create_task(_load(mesh.client, collection, documents, minutes * 60))
    times, samples = [], []
    start = time.monotonic()
    while not load.done():
        times.append((time.monotonic() - start) / 60)
        samples.append(resident_mib(mesh.pids()))
        await asyncio.wait({load}, timeout=_SAMPLE_S)
    calls = await load
    await mesh.client.delete_collection(collection)
    return Figure(
        name="memory",
        title=f"Resident memory under {minutes:g} minutes of load",
        measured="at the end, MiB",
        reference="before, MiB",
        result="growth, MiB/min",
        comparisons=[
            Comparison(name, samples[-1][name], before[name], growth(times, [sample[name] for sample in samples]))
            for name in before
            if all(name in sample for sample in samples)
        ],
        conditions=[
            f"At once, each one after the other: searches with reranking ({calls['search']}), embedding of {_BATCH} new"
            f" texts ({calls['embed']}), replacing {_BATCH} of {len(documents)} documents by new texts"
            f" ({calls['index']}).",
            "Resident memory of a process with its children, shared pages counted in each; growth is the slope of a"
            " line through the second half. redis-cache fills up to its limit with each new text.",
        ],
    )


async def _load(client: AsyncClient, collection: str, documents: list[Document], seconds: float) -> Mapping[str, int]:
    """Calls made of each kind."""
    queries = questions(documents)

    def batch(number: int) -> list[Document]:
        first = number * _BATCH % (len(documents) - _BATCH)
        mark = secrets.token_hex(4)
        return [
            Document(document.id, f"{document.text}\n{mark}", document.title, document.metadata)
            for document in documents[first : first + _BATCH]
        ]

    async def search(_: int) -> None:
        await complete_search(client, collection, next(queries), rerank=True)

    async def embed(number: int) -> None:
        await client.embed([document.text for document in batch(number)], truncation="end", lane="bulk")

    async def index(number: int) -> None:
        async for _ in client.index(collection, batch(number)):
            pass

    async def run(request: Request) -> Outcome:
        return (await closed_loop(request, concurrency=1, seconds=seconds)).checked()

    async with asyncio.TaskGroup() as group:
        kinds = {"search": search, "embed": embed, "index": index}
        running = {name: group.create_task(run(request)) for name, request in kinds.items()}
    return {name: len(task.result().latencies_s) for name, task in running.items()}


def resident_mib(pids: Mapping[str, int]) -> dict[str, float]:
    """Of each process with all its descendants."""
    found = {}
    for name, pid in pids.items():
        try:
            parent = psutil.Process(pid)
            family = [parent, *parent.children(recursive=True)]
            found[name] = sum(process.memory_info().rss for process in family) / _MIB
        except psutil.NoSuchProcess:  # it is being restarted
            continue
    return found


def growth(minutes: list[float], values: list[float]) -> float:
    """Slope over the second half, per minute; 0 for less than two samples."""
    half = len(values) // 2
    return float(np.polyfit(minutes[half:], values[half:], 1)[0]) if len(values) - half > 1 else 0.0
