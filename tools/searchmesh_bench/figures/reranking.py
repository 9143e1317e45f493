"""Pairs of one query and passages of mixed length, through the mesh and on ONNX Runtime alone."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from searchmesh.catalog import ExportedModel, load_card
from searchmesh.client import AsyncClient, Document
from searchmesh.encoding import Output
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import Internal
from searchmesh_bench import random_reranker
from searchmesh_bench.datasets import load
from searchmesh_bench.figures.figure import Comparison, Figure, at_least
from searchmesh_bench.figures.questions import questions
from searchmesh_bench.figures.rounds import alternating
from searchmesh_bench.machine import usable_cores
from searchmesh_bench.mesh import Mesh, own_mesh
from searchmesh_bench.pydocs import corpus

_ROUNDS = 5
_PASSAGES = 50
_POOL = 500
_SORTED_BATCH = 8
_TOLERANCE = 1e-3
_TIMEOUT_S = 300.0


async def reranking(_: Mesh) -> Figure:
    """Pairs per second in alternating rounds, on a mesh of its own that has nothing but a reranker."""
    from searchmesh_export.exporter import export_model  # with all of torch behind it

    texts = _texts()
    with tempfile.TemporaryDirectory(prefix="searchmesh-bench-") as folder:
        home = Path(folder)
        tokenizer = random_reranker.write(home / "checkpoint", texts.pool)
        model = await asyncio.to_thread(
            partial(export_model, precision="fp32", flavour="python"),
            load_card(random_reranker.MODEL),
            home / "checkpoint",
            home / "repository",
        )
        alone = _Alone(model, tokenizer)
        passages = alone.fitting(texts)
        settings = MeshSettings(home=home, default_model=model.name, only=("triton", "reranker"))
        async with own_mesh(settings) as mesh:
            ask = partial(_through_mesh, mesh.client, texts.query, passages)
            await ask()
            rounds = await alternating(_ROUNDS, ask, partial(alone.round, texts.query, passages))
    return _figure(texts, alone.lengths(texts.query, passages), rounds)


@dataclass(frozen=True)
class _Texts:
    source: str
    query: str
    pool: Sequence[str]


def _texts() -> _Texts:
    """A query, and more passages than are needed: of scifact, or of Python's documentation where that is missing."""
    folder = Path(os.environ.get("SEARCHMESH_DATA", "")) / "scifact"
    if folder.is_dir():
        dataset = load(folder)
        documents, query, source = dataset.documents, dataset.queries[0].text, "abstracts of scifact"
    else:
        documents = corpus()
        (query,) = islice(questions(documents), 1)
        source = "passages of the Python documentation"
    chosen: Sequence[Document] = random.Random(0).sample(documents, min(_POOL, len(documents)))
    return _Texts(source, query, [document.text for document in chosen])


@dataclass(frozen=True)
class _Side:
    seconds: float
    scores: NDArray[np.float64]


@dataclass(frozen=True)
class _Reference:
    padded: _Side
    ordered: _Side


class _Alone:
    """One session with all threads in this process; tokenised with the same library."""

    def __init__(self, model: ExportedModel, tokenizer: Tokenizer) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        graph = str(model.path / "1" / "model.onnx")
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._tokenizer = tokenizer

    def fitting(self, texts: _Texts) -> list[str]:
        """Passages that a pair has room for as a whole."""
        lengths = self.lengths(texts.query, texts.pool)
        fits = [text for text, length in zip(texts.pool, lengths, strict=True) if length <= random_reranker.MAX_TOKENS]
        return fits[:_PASSAGES]

    def lengths(self, query: str, passages: Sequence[str]) -> list[int]:
        """Tokens of each pair."""
        return [len(ids) for ids in self._pairs(query, passages)]

    async def round(self, query: str, passages: Sequence[str]) -> _Reference:
        """Both ways, one after the other."""
        return _Reference(self._timed(query, passages, len(passages)), self._timed(query, passages, _SORTED_BATCH))

    def _timed(self, query: str, passages: Sequence[str], batch: int) -> _Side:
        start = time.perf_counter()
        pairs = self._pairs(query, passages)
        order = sorted(range(len(pairs)), key=lambda place: -len(pairs[place]))
        scores = np.empty(len(pairs))
        for first in range(0, len(order), batch):
            places = order[first : first + batch]
            logits = self._logits([pairs[place] for place in places])
            scores[places] = 1 / (1 + np.exp(-logits))
        return _Side(time.perf_counter() - start, scores)

    def _pairs(self, query: str, passages: Sequence[str]) -> list[list[int]]:
        return [pair.ids for pair in self._tokenizer.encode_batch([(query, passage) for passage in passages])]

    def _logits(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        (logits,) = self._session.run([Output.LOGIT.value], {"input_ids": ids, "attention_mask": mask})
        return np.asarray(logits[:, 0], np.float64)


async def _through_mesh(client: AsyncClient, query: str, passages: Sequence[str]) -> _Side:
    start = time.perf_counter()
    ranking = await client.rerank(query, passages, timeout_s=_TIMEOUT_S)
    seconds = time.perf_counter() - start
    scores = np.empty(len(passages))
    for result in ranking.results:
        scores[result.index] = result.relevance_score
    return _Side(seconds, scores)


def _figure(texts: _Texts, lengths: Sequence[int], rounds: Sequence[tuple[_Side, _Reference]]) -> Figure:
    for ours, theirs in rounds:
        for side in (theirs.padded, theirs.ordered):
            if np.abs(ours.scores - side.scores).max() > _TOLERANCE:
                raise Internal("the mesh and ONNX Runtime alone do not score alike")
    pairs = len(lengths)
    padded = [(ours.seconds, theirs.padded.seconds) for ours, theirs in rounds]
    ordered = [(ours.seconds, theirs.ordered.seconds) for ours, theirs in rounds]
    return Figure(
        name="reranking",
        title="Pairs of a query and a passage through the mesh ÷ ONNX Runtime alone",
        measured="mesh, pairs/s",
        reference="alone, pairs/s",
        result="ratio",
        comparisons=[
            Comparison(
                what,
                measured=median(pairs / ours for ours, _ in sides),
                reference=median(pairs / theirs for _, theirs in sides),
                result=median(theirs / ours for ours, theirs in sides),
                target=target,
            )
            for what, sides, target in (
                ("one batch, padded to the longest", padded, at_least(1.3)),
                (f"sorted by length, batches of {_SORTED_BATCH}", ordered, None),
            )
        ],
        conditions=[
            f"{pairs} {texts.source} of {min(lengths)} to {max(lengths)} tokens with the query (median"
            f" {median(lengths):g}) in one request: client → reranker → tritonserver.",
            f"{random_reranker.LAYERS} layers, width {random_reranker.WIDTH}, fp32, random weights in the layout of"
            f" {random_reranker.MODEL}, the same graph on both sides; alone: one session with {usable_cores()} intra-op"
            " threads in this process.",
            f"{_ROUNDS} alternating rounds, tokenising included; medians, the ratio that of each round's own two sides."
            " Scores of both sides agree.",
        ],
    )
