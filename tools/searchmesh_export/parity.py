"""The exported graph, run by ONNX Runtime, against the module it was made of, run by torch in float32.

That catches what tracing, the precision and ONNX Runtime change. That a module computes what its published model does
is not a matter of one export: the project's tests compare every family with an independent implementation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from searchmesh.catalog import Parity, Precision
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh_export import samples
from searchmesh_export.built import Graph
from searchmesh_export.weights import wrong

Values = dict[str, NDArray[Any]]
Floats = NDArray[np.float64]

TOLERANCES: dict[Precision, float] = {"fp32": 1e-5, "fp16": 1e-4, "int8": 3e-2, "int4": 0.1}
"""Largest 1 - cosine of any vector. For all-MiniLM-L6-v2 it measured 1e-12, 1.5e-6 and 1e-2."""

ABSOLUTE_TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 2e-2, "int8": 0.5, "int4": 0.5}
"""Largest difference of any value of unit-length vectors, and of any logit."""

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
)
"""Short and long, several scripts, code: their batch has much padding."""

LONG_TEXTS = ("Paris", _PARAGRAPH * 6)
"""In a batch of their own, so that a large model has not to read the padding of all."""

_LONGEST = 512
"""Tokens of a text that are read."""

_SLOTS = (1, 320, 130)
"""Patches of the images, rounded down to what the graph takes."""


@dataclass(frozen=True)
class Reference:
    """What the graph has to give."""

    inputs: Sequence[Values]
    outputs: Sequence[Values]


def reference(graph: Graph, tokenizer: Tokenizer, max_tokens: int, folder: Path) -> Reference:
    """Run the module, while it is in float32, on batches of `TEXTS` or of random images.

    Raises InvalidArgument if the tokenizer of the checkpoint in `folder` has more tokens than the model.
    """
    if "input_ids" in graph.inputs:
        rows = [_token_ids(tokenizer, texts, max_tokens) for texts in (TEXTS, LONG_TEXTS)]
        rows[0].append(rows[0][0][:1])
        if (highest := max(max(row) for batch in rows for row in batch)) >= graph.sizes.vocabulary:
            problem = f"gives the token {highest}; the model has {graph.sizes.vocabulary}"
            raise wrong(folder / "tokenizer.json", problem)
        batches = [samples.text(graph, batch) for batch in rows]
    else:
        batches = [samples.images(graph, [max(1, slots // graph.sizes.slot_group) for slots in _SLOTS])]
    return Reference(batches, [_module_outputs(graph, inputs) for inputs in batches])


def measure(expected: Reference, graph: Graph, file: Path, precision: Precision) -> Parity:
    """Errors of the ONNX model in `file`. Raises FailedPrecondition if one exceeds the precision's tolerance."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    cosine = absolute = 0.0
    for inputs, theirs in zip(expected.inputs, expected.outputs, strict=True):
        ours = dict(zip(graph.outputs, session.run(list(graph.outputs), inputs), strict=True))
        for name in graph.outputs:
            if name == "logit":
                absolute = _worst(absolute, np.abs(ours[name] - theirs[name]))
            else:
                mine, wanted = (_vectors(name, values[name], inputs, graph) for values in (ours, theirs))
                cosine = _worst(cosine, _cosine_errors(mine, wanted))
                absolute = _worst(absolute, _value_errors(mine, wanted))
    parity = Parity(
        cosine_error=cosine,
        cosine_tolerance=TOLERANCES[precision],
        absolute_error=absolute,
        absolute_tolerance=ABSOLUTE_TOLERANCES[precision],
    )
    _check(parity, precision)
    return parity


def of_vectors(ours: NDArray[Any], theirs: NDArray[Any], precision: Precision) -> Parity:
    """Errors of vectors [n, width]. Raises FailedPrecondition if one exceeds the precision's tolerance."""
    mine, wanted = ours.astype(np.float64), theirs.astype(np.float64)
    parity = Parity(
        cosine_error=_worst(0.0, _cosine_errors(mine, wanted)),
        cosine_tolerance=TOLERANCES[precision],
        absolute_error=_worst(0.0, _value_errors(mine, wanted)),
        absolute_tolerance=ABSOLUTE_TOLERANCES[precision],
    )
    _check(parity, precision)
    return parity


def worst(parities: Sequence[Parity]) -> Parity:
    """The largest errors of all graphs of a model."""
    return parities[0].model_copy(
        update={field: max(getattr(each, field) for each in parities) for field in ("cosine_error", "absolute_error")}
    )


def _check(parity: Parity, precision: Precision) -> None:
    for kind, error, tolerance in (
        ("a cosine error", parity.cosine_error, parity.cosine_tolerance),
        ("an absolute error", parity.absolute_error, ABSOLUTE_TOLERANCES[precision]),
    ):
        # Not "error > tolerance": that is false for NaN.
        if not error <= tolerance:
            instead = "" if precision == "fp32" else "; --precision fp32 needs more memory and may do"
            raise FailedPrecondition(
                f"the {precision} graph differs from its source by {kind} of {error:.1e},"
                f" the tolerance is {tolerance:.0e}; nothing was written{instead}",
                reason="PARITY_EXCEEDED",
            )


def _token_ids(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    return [encoding.ids[: min(max_tokens, _LONGEST)] for encoding in tokenizer.encode_batch(list(texts))]


def _module_outputs(graph: Graph, inputs: Values) -> Values:
    with torch.inference_mode():
        outputs = graph.module(*(torch.from_numpy(value) for value in inputs.values()))
    return {name: output.numpy() for name, output in zip(graph.outputs, outputs, strict=True)}


def _vectors(name: str, output: NDArray[Any], inputs: Values, graph: Graph) -> Floats:
    """The rows of an output that mean something, in float64: float32 cannot tell 1e-7 from its own rounding."""
    match name:
        case "token_embeddings":
            output = output[inputs["attention_mask"].astype(bool)]
        case "image_features" if "patch_mask" in inputs:
            output = output[inputs["patch_mask"][:, :: graph.sizes.merged].astype(bool)]
    return output.reshape(-1, output.shape[-1]).astype(np.float64)


def _cosine_errors(ours: Floats, theirs: Floats) -> Floats:
    """1 - cosine of each pair. Vectors that are zero must be zero on both sides."""
    lengths = _lengths(ours) * _lengths(theirs)
    same = (_lengths(ours) == 0) & (_lengths(theirs) == 0)
    with np.errstate(invalid="ignore"):
        errors: Floats = 1 - (ours * theirs).sum(axis=-1) / lengths
    return np.where(same, 0, errors)


def _value_errors(ours: Floats, theirs: Floats) -> Floats:
    """Differences of values, where the wanted vectors have unit length."""
    lengths = _lengths(theirs)[:, None]
    errors: Floats = np.abs(ours - theirs) / np.where(lengths == 0, 1, lengths)
    return errors


def _lengths(vectors: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(vectors, axis=-1)
    return lengths


def _worst(before: float, errors: NDArray[Any]) -> float:
    """The larger one; NaN wins."""
    now = float(errors.max(initial=0))
    return now if math.isnan(now) else max(before, now)
