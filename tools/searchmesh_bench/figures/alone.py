"""ONNX Runtime alone on an exported graph: what the mesh is measured against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
import tokenizers

from searchmesh.catalog import ExportedModel
from searchmesh.encoding import Output
from searchmesh_bench.machine import usable_cores


class Alone:
    """A session with as many threads as there are cores, fed with batches sorted by length."""

    def __init__(self, model: ExportedModel) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model.path / "1" / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = tokenizers.Tokenizer.from_file(str(model.tokenizer_path))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with special tokens, all texts in one call, on all cores."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]

    def embed(self, rows: Sequence[Sequence[int]], batch: int) -> None:
        """Run the graph over all rows, longest first, each batch padded to its longest row."""
        ordered = sorted(rows, key=len, reverse=True)
        for start in range(0, len(ordered), batch):
            part = ordered[start : start + batch]
            ids = np.zeros((len(part), len(part[0])), dtype=np.int64)
            mask = np.zeros_like(ids)
            for position, row in enumerate(part):
                ids[position, : len(row)] = row
                mask[position, : len(row)] = 1
            self._session.run([Output.SENTENCE.value], {"input_ids": ids, "attention_mask": mask})
