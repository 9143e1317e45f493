"""config.pbtxt of each flavour, written from the protobuf that tritonserver parses it with."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import (
    ModelConfig,
    ModelDynamicBatching,
    ModelInstanceGroup,
    ModelOptimizationPolicy,
    ModelParameter,
    ModelQueuePolicy,
)

from searchmesh.catalog import Card, Flavour, Precision
from searchmesh_export import cpu, profiles
from searchmesh_export.built import Graph

_MAX_ROWS = 64
"""Rows of one request on a CPU; a core is as fast with 1,024 tokens as with more."""

_SHARED_BYTES = 1 << 30
"""Weights above it are not held once a core: one instance uses all cores instead."""

_QUEUE = 256
"""Requests that wait in tritonserver, all lanes. The services queue before it, so this is the last resort against
several of them at once; what does not fit is refused, not delayed."""

_WORKSPACE_BYTES = 4 << 30

_ENGINE_CACHE = "/tmp/searchmesh-engines"
"""Inside the serving container; mount a volume there to keep engines over restarts."""


@dataclass(frozen=True)
class Serving:
    """One graph in the model repository."""

    graph: Graph
    card: Card
    precision: Precision
    flavour: Flavour
    weight_bytes: int

    @property
    def name(self) -> str:
        """What tritonserver calls it."""
        return self.card.name + self.graph.suffix

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU runs it."""
        return not cpu.runs(self.precision, self.flavour)

    def write(self, folder: Path) -> int:
        """Put beside 1/model.onnx what tritonserver needs; returns the most rows of one request."""
        match self.flavour:
            case "python":
                config = python_config(self)
                shutil.copyfile(Path(__file__).parent / "templates" / "model.py", folder / "1" / "model.py")
            case "onnxruntime":
                config = onnxruntime_config(self)
            case "tensorrt":
                config = tensorrt_config(self)
                (folder / "config.plan.pbtxt").write_text(text(plan_config(self)), encoding="utf-8")
                script = folder / "build-plan.sh"
                script.write_text(plan_script(self), encoding="utf-8")
                script.chmod(0o755)
        (folder / "config.pbtxt").write_text(text(config), encoding="utf-8")
        return int(config.max_batch_size)


def python_config(serving: Serving) -> ModelConfig:
    """ONNX Runtime on the CPU by 1/model.py.

    One single-threaded instance a core, and one more: bulk work fills the cores and a query still finds a free one.
    Large weights are held once, by one instance with a thread a core. Both threading parameters and the number of
    instances can be changed here without exporting again.
    """
    config = _encoder(serving, _MAX_ROWS)
    config.backend = "python"
    cores = len(os.sched_getaffinity(0))
    instances, threads = (cores + 1, 1) if serving.weight_bytes <= _SHARED_BYTES else (1, cores)
    config.instance_group.add(count=instances, kind=ModelInstanceGroup.KIND_CPU)
    for parameter, value in {"intra_op_threads": threads, "allow_spinning": 0}.items():
        config.parameters[parameter].CopyFrom(ModelParameter(string_value=str(value)))
    return config


def onnxruntime_config(serving: Serving) -> ModelConfig:
    """Triton's own ONNX Runtime backend."""
    config = _encoder(serving, profiles.MAX_ROWS if serving.on_gpu else _MAX_ROWS)
    config.backend = "onnxruntime"
    kind = ModelInstanceGroup.KIND_GPU if serving.on_gpu else ModelInstanceGroup.KIND_CPU
    config.instance_group.add(count=1, kind=kind)
    return config


def tensorrt_config(serving: Serving) -> ModelConfig:
    """ONNX Runtime with TensorRT: engines are built when the model is loaded, and cached.

    ONNX Runtime runs an engine's first profile alone, so there is one, and long sequences leave it few rows. The engine
    of `plan_script` has no such limit.
    """
    graph = serving.graph
    whole = profiles.whole(graph, serving.card)
    config = onnxruntime_config(serving)
    config.max_batch_size = whole.largest["rows"]
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    accelerators.append(
        ModelOptimizationPolicy.ExecutionAccelerators.Accelerator(
            name="tensorrt",
            parameters={
                "precision_mode": "FP16" if serving.precision == "fp16" else "FP32",
                "max_workspace_size_bytes": str(_WORKSPACE_BYTES),
                "trt_engine_cache_enable": "1",
                "trt_engine_cache_path": _ENGINE_CACHE,
                "trt_timing_cache_enable": "1",
                "trt_timing_cache_path": _ENGINE_CACHE,
                # Vectors of long texts lose accuracy when a norm is summed in half precision.
                "trt_layer_norm_fp32_fallback": "1",
                "trt_profile_min_shapes": profiles.shapes(graph, whole.smallest),
                "trt_profile_opt_shapes": profiles.shapes(graph, whole.usual),
                "trt_profile_max_shapes": profiles.shapes(graph, whole.largest),
            },
        )
    )
    return config


def plan_config(serving: Serving) -> ModelConfig:
    """Triton's TensorRT backend on the engine that `plan_script` builds, which has one profile an octave of lengths."""
    octaves = profiles.octaves(serving.graph, serving.card)
    config = _encoder(serving, max(octave.largest["rows"] for octave in octaves))
    config.backend = "tensorrt"
    numbers = [str(number) for number, _ in enumerate(octaves)]
    config.instance_group.add(count=1, kind=ModelInstanceGroup.KIND_GPU, profile=numbers)
    return config


def plan_script(serving: Serving) -> str:
    """A shell script that builds 1/model.plan on the machine that will serve it, and switches to it."""
    graph = serving.graph
    limit = "max_images" if graph.suffix else "max_rows"
    options = [
        f"    --profile={number} --minShapes={profiles.shapes(graph, profile.smallest)}"
        f" --optShapes={profiles.shapes(graph, profile.usual)}"
        f" --maxShapes={profiles.shapes(graph, profile.largest)} \\"
        for number, profile in enumerate(profiles.octaves(graph, serving.card))
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
            *options,
            "    --timingCacheFile=timing.cache",
            "cp config.plan.pbtxt config.pbtxt",
            "# The services learn how many rows it takes.",
            f'sed -i \'s/"{limit}": [0-9]*/"{limit}": {plan_config(serving).max_batch_size}/\''
            f" ../{serving.card.name}/card.json",
            "",
        ]
    )


def text(config: ModelConfig) -> str:
    """The file's content."""
    return str(text_format.MessageToString(config))


def _encoder(serving: Serving, max_rows: int) -> ModelConfig:
    """What all flavours share: tensors, and two lanes (1 interactive, 2 bulk) with a bounded queue."""
    graph = serving.graph
    config = ModelConfig(name=serving.name, max_batch_size=max_rows)
    for tensor in graph.takes:
        config.input.add(name=tensor.name, data_type=f"TYPE_{tensor.dtype}", dims=tensor.dims(graph.sizes))
    for tensor in graph.gives:
        config.output.add(name=tensor.name, data_type=f"TYPE_{tensor.dtype}", dims=tensor.dims(graph.sizes))
    config.dynamic_batching.CopyFrom(
        ModelDynamicBatching(
            # The services pack, and know what a row costs: joined here, batches of long rows would outgrow the memory
            # of a GPU and the profiles of an engine. A batch that is over the preferred size is not added to.
            preferred_batch_size=[1],
            priority_levels=2,
            default_priority_level=2,
            default_queue_policy=ModelQueuePolicy(
                timeout_action="REJECT", allow_timeout_override=True, max_queue_size=_QUEUE
            ),
        )
    )
    return config
