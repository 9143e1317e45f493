"""ONNX Runtime alone on an exported graph: what the mesh is measured against."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime

from searchmesh.catalog import ExportedModel
from searchmesh.encoding import Output

Rows = Sequence[Sequence[int]]
"""Token ids of each text."""


class Alone:
    """`sessions` in this process that share batches of texts sorted by length, each with `threads` of its own."""

    def __init__(self, model: ExportedModel, *, sessions: int, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        graph = model.path / "1" / "model.onnx"
        self._sessions = [
            onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]) for _ in range(sessions)
        ]

    def embed(self, rows: Rows, batch: int) -> float:
        """Seconds to run the graph over all rows, longest first, each batch padded to its longest row."""
        start = time.perf_counter()
        ordered = sorted(rows, key=len, reverse=True)
        batches = iter([ordered[first : first + batch] for first in range(0, len(ordered), batch)])

        def work(session: onnxruntime.InferenceSession) -> None:
            for part in batches:
                _run(session, part)

        with ThreadPoolExecutor(len(self._sessions)) as workers:
            list(workers.map(work, self._sessions))
        return time.perf_counter() - start

    def best_batch(self, rows: Rows, sizes: Sequence[int]) -> int:
        """The batch size that these rows are fastest with, best of two tries each."""
        self.embed(rows, sizes[-1])
        return min(sizes, key=lambda size: min(self.embed(rows, size), self.embed(rows, size)))


def _run(session: onnxruntime.InferenceSession, rows: Rows) -> None:
    ids = np.zeros((len(rows), len(rows[0])), dtype=np.int64)
    mask = np.zeros_like(ids)
    for position, row in enumerate(rows):
        ids[position, : len(row)] = row
        mask[position, : len(row)] = 1
    session.run([Output.SENTENCE.value], {"input_ids": ids, "attention_mask": mask})
