"""config.pbtxt of each flavour, written from the protobuf that tritonserver parses it with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import (
    ModelConfig,
    ModelDynamicBatching,
    ModelInstanceGroup,
    ModelOptimizationPolicy,
    ModelParameter,
    ModelQueuePolicy,
)

from searchmesh_export.graph import INPUTS
from searchmesh_export.pooled import OUTPUTS

_MAX_ROWS = 64
"""Rows of one request on a CPU; a core is as fast with 1,024 tokens as with more."""

_GPU_MAX_ROWS = 256
_GPU_MAX_TOKENS = 16_384
"""Rows x length of the largest batch that an engine is built for."""

_QUEUE = 256
"""Requests that wait in tritonserver, all lanes. The services queue before it, so this is the last resort against
several of them at once; what does not fit is refused, not delayed."""

_WORKSPACE_BYTES = 4 << 30

_ENGINE_CACHE = "/tmp/searchmesh-engines"
"""Inside the serving container; mount a volume there to keep engines over restarts."""


def python_config(name: str, width: int) -> ModelConfig:
    """ONNX Runtime on the CPU by 1/model.py.

    One single-threaded instance a core, and one more: bulk work fills the cores and a query still finds a free one.
    Both threading parameters can be changed here without exporting again.
    """
    config = _encoder(name, width, _MAX_ROWS)
    config.backend = "python"
    instances = len(os.sched_getaffinity(0)) + 1
    config.instance_group.add(count=instances, kind=ModelInstanceGroup.KIND_CPU)
    for parameter, value in {"intra_op_threads": "1", "allow_spinning": "0"}.items():
        config.parameters[parameter].CopyFrom(ModelParameter(string_value=value))
    return config


def onnxruntime_config(name: str, width: int, *, gpu: bool) -> ModelConfig:
    """Triton's own ONNX Runtime backend."""
    config = _encoder(name, width, _GPU_MAX_ROWS if gpu else _MAX_ROWS)
    config.backend = "onnxruntime"
    kind = ModelInstanceGroup.KIND_GPU if gpu else ModelInstanceGroup.KIND_CPU
    config.instance_group.add(count=1, kind=kind)
    return config


def tensorrt_config(name: str, width: int, max_tokens: int, *, half: bool) -> ModelConfig:
    """ONNX Runtime with TensorRT: engines are built when the model is loaded, and cached."""
    config = onnxruntime_config(name, width, gpu=True)
    rows = max(1, min(_GPU_MAX_ROWS, _GPU_MAX_TOKENS // max_tokens))
    whole = Profile(lengths=(1, max_tokens), rows=(1, _GPU_MAX_ROWS), best=(rows, max_tokens))
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    accelerators.append(
        ModelOptimizationPolicy.ExecutionAccelerators.Accelerator(
            name="tensorrt",
            parameters={
                "precision_mode": "FP16" if half else "FP32",
                "max_workspace_size_bytes": str(_WORKSPACE_BYTES),
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": _ENGINE_CACHE,
                "trt_timing_cache_enable": "1",
                "trt_timing_cache_path": _ENGINE_CACHE,
                # Vectors of long texts lose accuracy when a norm is summed in half precision.
                "trt_layer_norm_fp32_fallback": "1",
                "trt_profile_min_shapes": whole.smallest(),
                "trt_profile_opt_shapes": whole.usual(),
                "trt_profile_max_shapes": whole.largest(),
            },
        )
    )
    return config


def plan_config(name: str, width: int, max_tokens: int) -> ModelConfig:
    """Triton's TensorRT backend on the engine that `plan_script` builds, which has one profile an octave of lengths."""
    config = _encoder(name, width, _GPU_MAX_ROWS)
    config.backend = "tensorrt"
    profiles = [str(number) for number, _ in enumerate(_octaves(max_tokens))]
    config.instance_group.add(count=1, kind=ModelInstanceGroup.KIND_GPU, profile=profiles)
    return config


def plan_script(max_tokens: int) -> str:
    """A shell script that builds 1/model.plan on the machine that will serve it, and switches to it."""
    profiles = [
        f"    --profile={number} --minShapes={profile.smallest()} --optShapes={profile.usual()}"
        f" --maxShapes={profile.largest()} \\"
        for number, profile in enumerate(_octaves(max_tokens))
    ]
    return "\n".join(
        [
            "#!/usr/bin/env bash",
            "# Builds a TensorRT engine for the GPU of this machine and makes it the model that tritonserver serves.",
            "# Needs trtexec of TensorRT 10 or later, the one of the tritonserver image.",
            "# An engine fits one version of TensorRT and one kind of GPU.",
            "set -euo pipefail",
            'cd "$(dirname "$0")"',
            "trtexec --onnx=1/model.onnx --saveEngine=1/model.plan --stronglyTyped --skipInference \\",
            f"    --memPoolSize=workspace:{_WORKSPACE_BYTES >> 20}M \\",
            *profiles,
            "    --timingCacheFile=timing.cache",
            "cp config.plan.pbtxt config.pbtxt",
            "",
        ]
    )


def text(config: ModelConfig) -> str:
    """The file's content."""
    return str(text_format.MessageToString(config))


@dataclass(frozen=True)
class Profile:
    """Shapes that an engine is tuned for: smallest and largest (inclusive), and the usual one."""

    lengths: tuple[int, int]
    rows: tuple[int, int]
    best: tuple[int, int]

    def smallest(self) -> str:
        return _shape(self.rows[0], self.lengths[0])

    def usual(self) -> str:
        return _shape(*self.best)

    def largest(self) -> str:
        return _shape(self.rows[1], self.lengths[1])


def _octaves(max_tokens: int) -> Iterator[Profile]:
    """Profiles for lengths 1 to 32, 33 to 64, … max_tokens, each with as many rows as its token budget allows."""
    shortest, longest = 1, min(32, max_tokens)
    while True:
        rows = max(1, min(_GPU_MAX_ROWS, _GPU_MAX_TOKENS // longest))
        yield Profile(lengths=(shortest, longest), rows=(1, rows), best=(rows, longest))
        if longest == max_tokens:
            return
        shortest, longest = longest + 1, min(longest * 2, max_tokens)


def _shape(rows: int, length: int) -> str:
    return ",".join(f"{name}:{rows}x{length}" for name in INPUTS)


def _encoder(name: str, width: int, max_rows: int) -> ModelConfig:
    """What all flavours share: tensors, and two lanes (1 interactive, 2 bulk) with a bounded queue."""
    config = ModelConfig(name=name, max_batch_size=max_rows)
    for tensor in INPUTS:
        config.input.add(name=tensor, data_type="TYPE_INT64", dims=[-1])
    for tensor, dims in zip(OUTPUTS, ([width], [-1, width]), strict=True):
        config.output.add(name=tensor, data_type="TYPE_FP32", dims=dims)
    config.dynamic_batching.CopyFrom(
        ModelDynamicBatching(
            priority_levels=2,
            default_priority_level=2,
            default_queue_policy=ModelQueuePolicy(
                timeout_action="REJECT", allow_timeout_override=True, max_queue_size=_QUEUE
            ),
        )
    )
    return config
