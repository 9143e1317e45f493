"""From a checkpoint to the graph that `templates/decoder` runs, by onnxruntime-genai's model builder.

The builder knows the fused operators and the quantised weights of each device. Two things are changed in what it makes:
attention gets the length of each row as it is, and not counted from a mask that grows with the longest text; and the
logits are computed for those tokens alone whose successors are wanted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from searchmesh.catalog import Precision
from searchmesh.runtime.errors import FailedPrecondition, Internal
from searchmesh_export.qwen_config import TextConfig
from searchmesh_export.saving import DATA_FILE, MODEL_FILE

_BUILDER = "onnxruntime_genai.models.builder"
_START = (
    "import runpy, onnxruntime_genai; onnxruntime_genai.disable_telemetry_events();"
    f" runpy.run_module('{_BUILDER}', run_name='__main__', alter_sys=True)"
)

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

_INT4 = ("algo_config=k_quant", "matmul_mixed_precision=last_matmul:int8,mixed_layers:int8")
"""The vocabulary and the layers that suffer most stay in 8 bits: for 33 million random weights the largest cosine error
of logits was 0.041, with plain rounding to 4 bits 0.085."""

_LENGTHS, _LONGEST = 5, 6
"""Inputs of GroupQueryAttention: the last position of each row, and the tokens of the longest."""

_AXIS_OF_TOKENS, _BEHIND_ALL = 1, (1 << 31) - 1


def build(
    checkpoint: Path,
    folder: Path,
    config: TextConfig,
    precision: Precision,
    *,
    on_gpu: bool,
    options: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write the graph of the checkpoint into `folder`; returns its files. `options` are extra ones of the builder, as
    ``name=value``. Raises what `run_builder` raises.
    """
    with tempfile.TemporaryDirectory(dir=folder) as made:
        run_builder(checkpoint, Path(made), precision, on_gpu=on_gpu, options=options)
        model = ir.load(Path(made) / MODEL_FILE)
        adapt(model, config)
        (folder / MODEL_FILE).write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
        shutil.move(Path(made) / DATA_FILE, folder / DATA_FILE)
    return folder / MODEL_FILE, folder / DATA_FILE


def run_builder(
    checkpoint: Path, folder: Path, precision: Precision, *, on_gpu: bool, options: Sequence[str] = ()
) -> None:
    """Have the builder write the model, as onnxruntime-genai runs it, into `folder`.

    A process of its own makes it, so that its memory is free afterwards. Raises FailedPrecondition, with what the
    builder said last, if it fails.
    """
    command = [sys.executable, "-c", _START, "-m", str(checkpoint), "-i", str(checkpoint), "-o", str(folder)]
    device = ["-p", precision, "-e", "cuda" if on_gpu else "cpu", "-c", f"{folder}/cache"]
    extra = ["--extra_options", "hf_token=false", *(_INT4 if precision == "int4" else ()), *options]
    done = subprocess.run(
        [*command, *device, *extra], env=os.environ | _OFFLINE, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"it ended with {done.returncode}").splitlines()[-1]
        raise FailedPrecondition(f"the model builder of onnxruntime-genai failed: {said}", reason="BUILD_FAILED")


def adapt(model: ir.Model, config: TextConfig) -> None:
    """Give the builder's graph the inputs of `templates/decoder/graph.py`, in place."""
    graph = model.graph
    lengths = _input("last_positions", ir.DataType.INT32, "rows")
    longest = _input("longest", ir.DataType.INT32, 1)
    skipped = _input("skipped", ir.DataType.INT64, 1)
    attention = [node for node in graph if node.op_type == "GroupQueryAttention"]
    if len(attention) != config.num_hidden_layers:
        raise Internal(f"the graph has {len(attention)} attention nodes for {config.num_hidden_layers} layers")
    for node in attention:
        node.replace_input_with(_LENGTHS, lengths)
        node.replace_input_with(_LONGEST, longest)
    head = _head(graph)
    bounds = [_constant(graph, name, value) for name, value in (("end", _BEHIND_ALL), ("axis", _AXIS_OF_TOKENS))]
    wanted = ir.node("Slice", [head.inputs[0], skipped, *bounds], name="/lm_head/wanted")
    graph.insert_before(head, wanted)
    head.replace_input_with(0, wanted.outputs[0])
    for value in (*graph.inputs, *graph.outputs):
        if value.name and value.name.startswith(("past_key_values.", "present.")):
            value.shape = ir.Shape(["rows", config.num_key_value_heads, "room", config.head_dim])
    kept = [value for value in graph.inputs if value.name != "attention_mask"]
    graph.inputs[:] = [*kept, lengths, longest, skipped]
    RemoveUnusedNodesPass()(model)


def _head(graph: ir.Graph) -> ir.Node:
    """The product with the vocabulary: what the logits are, or are cast from."""
    (logits,) = (value for value in graph.outputs if value.name == "logits")
    node = logits.producer()
    while node is not None and node.op_type == "Cast":
        node = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node is None or node.op_type not in ("MatMul", "MatMulNBits"):
        raise Internal("the graph has no product with the vocabulary at its end")
    return node


def _input(name: str, kind: ir.DataType, size: int | str) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape([size]), type=ir.TensorType(kind))


def _constant(graph: ir.Graph, name: str, number: int) -> ir.Value:
    name = f"/lm_head/wanted/{name}"
    value = ir.Value(name=name, const_value=ir.tensor([number], dtype=ir.DataType.INT64, name=name))
    graph.register_initializer(value)
    return value
