"""Embedding through the whole mesh against ONNX Runtime alone on the same graph and texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from statistics import median

import tokenizers

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
class _Reference:
    """Seconds that the parts of the reference took for the same texts."""

    tokens: int
    tokenize_s: float
    infer_s: float
    apart_s: float
    """As `infer_s`, with a session of one thread a core instead of one with all threads."""


_Round = tuple[float, _Reference]
"""Seconds of the mesh, and the reference."""


class _Alone:
    """The reference with the batch sizes that it is fastest with."""

    def __init__(self, mesh: Mesh) -> None:
        cores = usable_cores()
        self.tokenizer = tokenizers.Tokenizer.from_file(str(mesh.model.tokenizer_path))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self._together = Alone(mesh.model, sessions=1, threads=cores)
        self._apart = Alone(mesh.model, sessions=cores, threads=1)
        self._batches = (0, 0)

    def tune(self, texts: Sequence[str]) -> str:
        """Choose the batch sizes for such texts, and say which."""
        rows = self._tokenize(texts)
        self._batches = self._together.best_batch(rows, _BATCHES), self._apart.best_batch(rows, _BATCHES)
        return f"{self._batches[0]} and {self._batches[1]}"

    async def round(self, texts: Sequence[str]) -> _Reference:
        """Embed the texts in each way."""
        start = time.perf_counter()
        rows = self._tokenize(texts)
        tokenize_s = time.perf_counter() - start
        return _Reference(
            tokens=sum(map(len, rows)),
            tokenize_s=tokenize_s,
            infer_s=self._together.embed(rows, self._batches[0]),
            apart_s=self._apart.embed(rows, self._batches[1]),
        )

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """All texts in one call, on all cores."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]


async def embedding(mesh: Mesh) -> Figure:
    """Tokens per second of both sides in alternating rounds."""
    alone = _Alone(mesh)
    source = Texts(alone.tokenizer, [document.text for document in corpus()])
    comparisons: list[Comparison] = []
    batches = []
    for case in _CASES:
        texts = source.about(case.tokens, case.texts)
        batches.append(f"{alone.tune(texts[: case.texts // 4])} at ~{case.tokens} tokens")
        rounds = await alternating(_ROUNDS, partial(_through_mesh, mesh.client, texts), partial(alone.round, texts))
        what = f"~{case.tokens} tokens"
        comparisons += [
            _compared(what, rounds, lambda r: r.tokenize_s + r.infer_s, case.target),
            _compared(f"{what}, ids given", rounds, lambda r: r.infer_s),
            _compared(f"{what}, a session a core", rounds, lambda r: r.tokenize_s + r.apart_s),
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
            f"Alone: {mesh.model.name} {mesh.model.precision}, the same graph in this process, one session with"
            f" {usable_cores()} intra-op threads (or as many sessions of one thread); tokenised with the same library"
            " (or token ids given); all texts sorted by length, in batches of the fastest of"
            f" {', '.join(map(str, _BATCHES))} ({'; '.join(batches)}).",
            f"{_ROUNDS} alternating rounds of {' and '.join(f'{case.texts} texts' for case in _CASES)};"
            " medians, the ratio that of each round's own two sides.",
        ],
    )


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


def _compared(
    what: str, rounds: Sequence[_Round], reference_s: Callable[[_Reference], float], target: Target | None = None
) -> Comparison:
    return Comparison(
        what,
        measured=median(reference.tokens / mesh_s for mesh_s, reference in rounds),
        reference=median(reference.tokens / reference_s(reference) for _, reference in rounds),
        result=median(reference_s(reference) / mesh_s for mesh_s, reference in rounds),
        target=target,
    )
