"""The exported graph against its source model, run by transformers on real texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from searchmesh.catalog import Parity, Precision
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh_export.checkpoint import Pooling
from searchmesh_export.graph import INPUTS
from searchmesh_export.pooled import OUTPUTS

Floats = NDArray[np.float32]

TOLERANCES: dict[Precision, float] = {"fp32": 1e-5, "fp16": 1e-4, "int8": 3e-2}
"""Largest 1 - cosine of any vector. For all-MiniLM-L6-v2 it measured 1e-12, 1.5e-6 and 1e-2."""

_PARAGRAPH = (
    "A dense retriever embeds queries and passages into one vector space and ranks passages by the cosine of their "
    "vectors. A lexical retriever counts the words that they share, weighted by how rare the words are (BM25). Each "
    "finds what the other misses: the first knows that a car is an automobile, the second that error 0x80070057 is "
    "exactly that. Their rankings are fused, and a reranker reads the best hundred once more. "
)
TEXTS = (
    "how do I compress a file",
    "Paris",
    "The quick brown fox jumps over the lazy dog.",
    "def mean(values: list[float]) -> float:\n    return sum(values) / len(values)",
    "Wie hoch ist der Mount Everest in Metern über dem Meeresspiegel?",
    "機械学習のモデルを本番環境で提供する方法",
    "ما هي عاصمة فرنسا؟",
    "¿Cuál es la diferencia entre un proceso y un hilo? 🤔",
    "Return a new sorted list from the items in iterable. The key function orders them; reverse turns it around.",
    "0.1 + 0.2 == 0.30000000000000004",
    _PARAGRAPH,
    _PARAGRAPH * 6,
)
"""Short and long, several scripts, code: their batch has much padding."""


def measure(
    graph: onnx.ModelProto, folder: Path, tokenizer: Tokenizer, pooling: Pooling, max_tokens: int, precision: Precision
) -> Parity:
    """Errors of the graph against the model in `folder`, all texts in one padded batch.

    Raises FailedPrecondition if a cosine is off by more than the tolerance of the precision.
    """
    ids, mask = _batch(tokenizer, max_tokens)
    theirs_sentence, theirs_tokens = _source(folder, ids, mask, pooling)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ours_sentence, ours_tokens = session.run(list(OUTPUTS), dict(zip(INPUTS, (ids, mask), strict=True)))
    real = mask.astype(bool)
    pairs = ((ours_sentence, theirs_sentence), (ours_tokens[real], theirs_tokens[real]))
    parity = Parity(
        cosine_error=max(_cosine_error(ours, theirs) for ours, theirs in pairs),
        absolute_error=float(np.abs(ours_sentence - theirs_sentence).max()),
        cosine_tolerance=TOLERANCES[precision],
    )
    # Not "error > tolerance": that is false for NaN.
    if not parity.cosine_error <= parity.cosine_tolerance:
        raise FailedPrecondition(
            f"the {precision} graph differs from its source by a cosine error of {parity.cosine_error:.1e},"
            f" the tolerance is {parity.cosine_tolerance:.0e}; nothing was written",
            reason="PARITY_EXCEEDED",
        )
    return parity


def _batch(tokenizer: Tokenizer, max_tokens: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = [encoding.ids[:max_tokens] for encoding in tokenizer.encode_batch(list(TEXTS))]
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(ids)
    for position, row in enumerate(rows):
        ids[position, : len(row)] = row
        mask[position, : len(row)] = 1
    return ids, mask


def _source(folder: Path, ids: NDArray[Any], mask: NDArray[Any], pooling: Pooling) -> tuple[Floats, Floats]:
    """Unit-length sentence vectors and token vectors of the source model."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    with torch.inference_mode():
        output = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
    tokens: Floats = output.last_hidden_state.numpy()
    if pooling == "cls":
        sentence = tokens[:, 0]
    else:
        sentence = np.stack([row[kept.astype(bool)].mean(axis=0) for row, kept in zip(tokens, mask, strict=True)])
    return sentence / np.linalg.norm(sentence, axis=-1, keepdims=True), tokens


def _cosine_error(ours: Floats, theirs: Floats) -> float:
    """Largest 1 - cosine of two rows, in float64: float32 cannot tell 1e-7 from its own rounding."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    cosines = (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return float((1 - cosines).max())
