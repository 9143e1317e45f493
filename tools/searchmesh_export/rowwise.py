"""MatMuls with weights in int8, activations quantised with a scale of their own for every row.

ONNX Runtime's own dynamic quantisation takes one scale for the whole batch, so that a vector changes with the texts it
happens to share a batch with. With a scale per row (here: per token) it depends on its own text alone. No kernel is
missing for that: a row divided by its largest magnitude lies in [-1, 1], so one constant scale quantises all rows, and
the product is multiplied by the row's magnitude again.

all-MiniLM-L6-v2 with ONNX Runtime 1.32 on one core with AVX-512 VNNI, 8 x 128 tokens; cosines of 256 docstrings, the
lowest and (in parentheses) the mean:

===========================  ========  =================  =================
int8 with                    tokens/s  to float32         alone to batch
===========================  ========  =================  =================
(float32)                       4,250
a scale per batch              10,700  0.9863 (0.9939)    0.9842 (0.9921)
a scale per row                 9,680  0.9955 (0.9978)    1.0000
MatMulNBits, blocks of 128      5,960  0.9979 (0.9992)    0.9996 (0.9999)
MatMulNBits, blocks of 32       5,020  0.9990 (0.9997)    1.0000
===========================  ========  =================  =================

nDCG@10 of dense retrieval on cranfield: float32 0.500, a scale per batch 0.498, a scale per row 0.504.

Products with a narrow matrix stay in float32: those of adapters, whose rank is small, and of a head that gives a score,
which would lose more than they win. So do convolutions, Gemm (which torch's exporter writes for one vector a row alone)
and tables of embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

MICROSOFT = "com.microsoft"
"""Operators of ONNX Runtime."""

_NARROW = 32
"""Matrices with fewer rows or columns stay as they are."""


def quantise(model: ir.Model) -> None:
    """Put every MatMul by a constant matrix in int8, in place; weights have a scale per output channel (symmetric).

    CPUs without VNNI add products in 16 bits and may saturate; the parity check measures on the CPU that exports.
    """
    graph = model.graph
    rewrite = _Rewrite(graph)
    for node in tuple(graph):
        if node.op_type == "MatMul" and _is_matrix(node.inputs[1]):
            rewrite.matmul(node)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]
    model.opset_imports.setdefault(MICROSOFT, 1)


def _is_matrix(value: ir.Value | None) -> bool:
    weight = value.const_value if value is not None else None
    return weight is not None and len(weight.shape) == 2 and min(weight.shape.numpy()) >= _NARROW


@dataclass
class _Rewrite:
    graph: ir.Graph
    quantised: dict[str, tuple[ir.Value, ir.Value]] = field(default_factory=dict)
    """Activations by name: their uint8 form and the magnitudes of their rows."""

    def matmul(self, node: ir.Node) -> None:
        activation, weight = node.inputs
        output = node.outputs[0]
        if activation is None or weight is None or weight.const_value is None:
            raise ValueError(f"{node.name} is no product with a constant")
        if activation.name not in self.quantised:
            self.quantised[str(activation.name)] = self._quantise_rows(node, activation)
        rows, magnitude = self.quantised[str(activation.name)]
        integers, scale = _int8(weight.const_value.numpy())
        inputs = [
            rows,
            self._constant(f"{weight.name}_int8", integers),
            self._step(),
            self._constant(f"{weight.name}_scale", scale),
            self._middle(),
        ]
        unscaled = self._add(node, "MatMulIntegerToFloat", inputs, f"{output.name}_unscaled", domain=MICROSOFT)
        scaled = self._add(node, "Mul", [unscaled, magnitude], f"{output.name}_scaled")
        name = output.name
        scaled.type, scaled.shape = output.type, output.shape  # it may be an output of the graph
        output.replace_all_uses_with(scaled, replace_graph_outputs=True)
        self.graph.remove(node, safe=True)
        scaled.name = name

    def _quantise_rows(self, node: ir.Node, activation: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Divide each row by its largest magnitude and map [-1, 1] to [1, 255]."""
        name = activation.name
        last = self._constant("last_axis", np.array([-1], np.int64))
        # Two reductions took a third less time than one over absolute values, which have to be written first.
        highest = self._add(node, "ReduceMax", [activation, last], f"{name}_highest", keepdims=1)
        lowest = self._add(node, "ReduceMin", [activation, last], f"{name}_lowest", keepdims=1)
        negated = self._add(node, "Neg", [lowest], f"{name}_negated")
        smallest = self._constant("smallest_magnitude", np.array([1e-12], np.float32))
        magnitude = self._add(node, "Max", [highest, negated, smallest], f"{name}_magnitude")
        unit = self._add(node, "Div", [activation, magnitude], f"{name}_unit")
        rows = self._add(node, "QuantizeLinear", [unit, self._step(), self._middle()], f"{name}_uint8")
        return rows, magnitude

    def _step(self) -> ir.Value:
        return self._constant("activation_scale", np.array(1 / 127, np.float32))

    def _middle(self) -> ir.Value:
        # uint8 around 128 rather than int8: without a kernel for int8 x int8 the product took ten times as long.
        return self._constant("activation_zero_point", np.array(128, np.uint8))

    def _add(
        self, before: ir.Node, operator: str, inputs: list[ir.Value], output: str, *, domain: str = "", **numbers: int
    ) -> ir.Value:
        """Put a node in front of another one."""
        node = ir.node(operator, inputs, numbers, domain=domain, outputs=[ir.Value(name=output)])
        self.graph.insert_before(before, node)
        return node.outputs[0]

    def _constant(self, name: str, value: NDArray[np.generic]) -> ir.Value:
        if name not in self.graph.initializers:
            self.graph.register_initializer(ir.Value(name=name, const_value=ir.tensor(value, name=name)))
        return self.graph.initializers[name]


def _int8(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The matrix in integers from -127 to 127, and the scale of each column."""
    scale = np.abs(weight).max(axis=0) / 127
    scale[scale == 0] = 1
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale.astype(np.float32)
