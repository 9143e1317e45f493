"""Exported graphs in ONNX Runtime, outside tritonserver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from searchmesh.catalog import ExportedModel

Values = Mapping[str, NDArray[Any]]


class Running:
    """One graph of a model: that of texts, or with the suffix of `catalog.repository.VISION` that of images."""

    def __init__(self, model: ExportedModel, suffix: str = "") -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        file = model.path.parent / (model.name + suffix) / "1" / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(file), options)
        self.inputs = [tensor.name for tensor in self.session.get_inputs()]
        self.outputs = [tensor.name for tensor in self.session.get_outputs()]

    def __call__(self, values: Values) -> dict[str, NDArray[np.float32]]:
        """All outputs; values that are no inputs of the graph are left out."""
        results = self.session.run(self.outputs, {name: values[name] for name in self.inputs})
        return dict(zip(self.outputs, results, strict=True))


def cosine_error(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The largest 1 - cosine of two vectors along the last axis."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    cosines = (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))
    return float((1 - cosines).max())
