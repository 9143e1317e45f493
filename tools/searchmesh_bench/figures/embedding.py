"""Embedding through the whole mesh against ONNX Runtime alone on the same graph and texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from statistics import median

from searchmesh.client import AsyncClient
from searchmesh.runtime.errors import Internal
from searchmesh_bench.figures.alone import Alone
from searchmesh_bench.figures.figure import Comparison, Figure, Target, at_least
from searchmesh_bench.figures.rounds import alternating
from searchmesh_bench.figures.texts import Texts
from searchmesh_bench.machine import usable_cores
from searchmesh_bench.mesh import Mesh
from searchmesh_bench.pydocs import corpus

_ROUNDS = 5
_BATCHES = (8, 16, 32)
_REQUEST_TEXTS = 64


@dataclass(frozen=True)
class _Case:
    tokens: int
    texts: int
    target: Target


# Rounds of seconds: the ends, where streams fill and drain, must not count.
_CASES = (_Case(128, 512, at_least(0.90)), _Case(16, 4096, at_least(0.75)))


@dataclass(frozen=True)
class _Alone:
    """What the reference did with some texts."""

    tokens: int
    tokenize_s: float
    infer_s: float


_Round = tuple[float, _Alone]
"""Seconds of the mesh, and the reference with the same texts."""


async def embedding(mesh: Mesh) -> Figure:
    """Tokens per second of both sides in alternating rounds."""
    alone = Alone(mesh.model)
    source = Texts(alone.tokenizer, [document.text for document in corpus()])
    comparisons: list[Comparison] = []
    batches = []
    for case in _CASES:
        texts = source.about(case.tokens, case.texts)
        batch = _best_batch(alone, texts)
        batches.append(f"{batch} at ~{case.tokens} tokens")
        rounds = await alternating(
            _ROUNDS, partial(_through_mesh, mesh.client, texts), partial(_by_itself, alone, texts, batch)
        )
        comparisons += [
            _compared(f"~{case.tokens} tokens", rounds, lambda a: a.tokenize_s + a.infer_s, case.target),
            _compared(f"~{case.tokens} tokens, given to the reference as ids", rounds, lambda a: a.infer_s, None),
        ]
    return Figure(
        name="embedding",
        title="Embedding through the mesh ÷ ONNX Runtime alone",
        measured="mesh, tokens/s",
        reference="alone, tokens/s",
        result="ratio",
        comparisons=comparisons,
        conditions=[
            f"client → embedding → tritonserver, the cache bypassed, one stream of {_REQUEST_TEXTS} texts a request.",
            f"Alone: {mesh.model.name} {mesh.model.precision}, the same graph in this process with"
            f" {usable_cores()} intra-op threads; all texts sorted by length, in the best of batches of"
            f" {', '.join(map(str, _BATCHES))} ({', '.join(batches)}); tokenised with the same library.",
            f"{_ROUNDS} alternating rounds of {' and '.join(f'{case.texts} texts' for case in _CASES)};"
            " medians, the ratio that of each round's own two sides.",
        ],
    )


async def _by_itself(alone: Alone, texts: Sequence[str], batch: int) -> _Alone:
    start = time.perf_counter()
    rows = alone.tokenize(texts)
    tokenized = time.perf_counter()
    alone.embed(rows, batch)
    return _Alone(sum(map(len, rows)), tokenized - start, time.perf_counter() - tokenized)


async def _through_mesh(client: AsyncClient, texts: Sequence[str]) -> float:
    """Seconds until every text has its vector. Raises what a request failed with."""
    requests = [texts[start : start + _REQUEST_TEXTS] for start in range(0, len(texts), _REQUEST_TEXTS)]
    start = time.perf_counter()
    rows = 0
    async with aclosing(client.embed_stream(requests, bypass_cache=True)) as answers:
        async for answer in answers:
            rows += len(answer.embeddings.vectors)
    if rows != len(texts):
        raise Internal(f"{rows} vectors came back for {len(texts)} texts")
    return time.perf_counter() - start


def _best_batch(alone: Alone, texts: Sequence[str]) -> int:
    """The batch size that the reference is fastest with, best of two tries each."""
    rows = alone.tokenize(texts)

    def seconds(batch: int) -> float:
        start = time.perf_counter()
        alone.embed(rows, batch)
        return time.perf_counter() - start

    alone.embed(rows, _BATCHES[-1])
    return min(_BATCHES, key=lambda batch: min(seconds(batch), seconds(batch)))


def _compared(
    what: str, rounds: Sequence[_Round], reference_s: Callable[[_Alone], float], target: Target | None
) -> Comparison:
    return Comparison(
        what,
        measured=median(alone.tokens / mesh_s for mesh_s, alone in rounds),
        reference=median(alone.tokens / reference_s(alone) for _, alone in rounds),
        result=median(reference_s(alone) / mesh_s for mesh_s, alone in rounds),
        target=target,
    )
