"""What figures of exported graphs have in common: the graph as a CPU runs it, and timing in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from searchmesh.catalog import Precision

if TYPE_CHECKING:  # all of torch is behind it
    from searchmesh_export.built import Graph

Inputs = Mapping[str, NDArray[Any]]


class Exported:
    """A graph as ``models export --flavour python`` writes it, in ONNX Runtime with so many threads."""

    def __init__(self, graph: Graph, precision: Precision, *, threads: int) -> None:
        import onnx_ir as ir

        from searchmesh_export.lowering import lowered

        model = lowered(graph, precision, "python")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, inputs: Inputs) -> None:
        """All outputs."""
        self._session.run(None, dict(inputs))


def random_weights(module: Any) -> Any:
    """The torch module with small random numbers for weights, the same ones every time; norms around 1."""
    import torch

    numbers = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            weight.normal_(0.0, 0.02, generator=numbers)
            if weight.dim() == 1 and name.endswith("weight"):
                weight.add_(1.0)
    return module.eval()


def random_ids(rows: int, length: int, vocabulary: int) -> dict[str, NDArray[np.int64]]:
    """`input_ids` and `attention_mask` without padding."""
    numbers = np.random.default_rng(0)
    return {
        "input_ids": numbers.integers(0, vocabulary, (rows, length)),
        "attention_mask": np.ones((rows, length), np.int64),
    }


def in_turns(sides: Mapping[str, Callable[[], object]], rounds: int) -> list[dict[str, float]]:
    """Seconds of each side, round by round: what else the machine does falls on all. The first runs do not count."""
    for run in sides.values():
        run()
    names = list(sides)
    return [
        {name: _seconds(sides[name]) for name in names[number % len(names) :] + names[: number % len(names)]}
        for number in range(rounds)
    ]


def middle(values: list[float]) -> float:
    """The median."""
    return float(median(values))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
