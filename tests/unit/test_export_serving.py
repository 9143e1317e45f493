"""What tritonserver reads: every flavour parses as ModelConfig and says what its services rely on."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from google.protobuf import text_format
from torch import nn
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInstanceGroup

from searchmesh.catalog import Card, Flavour, Precision, load_card
from searchmesh_export.built import Graph
from searchmesh_export.serving import Serving
from searchmesh_export.tensors import Sizes
from support.graphs import text_graph, vision_graph

NAME = "all-MiniLM-L6-v2"
ENCODER = Graph(
    nn.Identity(),
    ("input_ids", "attention_mask"),
    ("sentence_embedding", "token_embeddings"),
    Sizes(vocabulary=9, sentence=384, token=384),
)


def put(
    folder: Path,
    precision: Precision = "fp32",
    flavour: Flavour = "python",
    *,
    graph: Graph = ENCODER,
    card: Card | None = None,
    weight_bytes: int = 1,
) -> Path:
    model = folder / ((card or load_card(NAME)).name + graph.suffix)
    (model / "1").mkdir(parents=True)
    serving = Serving(graph, card or load_card(NAME), precision, flavour, weight_bytes)
    assert serving.write(model) == parsed(model).max_batch_size
    return model


def parsed(model: Path, file: str = "config.pbtxt") -> ModelConfig:
    return text_format.Parse((model / file).read_text(), ModelConfig())


INT64, FP32 = DataType.Value("TYPE_INT64"), DataType.Value("TYPE_FP32")

FLAVOURS: list[tuple[Precision, Flavour]] = [
    ("fp32", "python"), ("int8", "python"),
    ("fp32", "onnxruntime"), ("fp16", "onnxruntime"), ("int8", "onnxruntime"),
    ("fp32", "tensorrt"), ("fp16", "tensorrt"),
]  # fmt: skip


@pytest.mark.parametrize(("precision", "flavour"), FLAVOURS)
def test_every_flavour_has_the_same_tensors_and_lanes(tmp_path: Path, precision: Precision, flavour: Flavour) -> None:
    model = put(tmp_path, precision, flavour)
    for file in model.glob("*.pbtxt"):
        config = parsed(model, file.name)
        assert config.name == NAME
        assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [
            ("input_ids", [-1]),
            ("attention_mask", [-1]),
        ]
        assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [
            ("sentence_embedding", [384]),
            ("token_embeddings", [-1, 384]),
        ]
        assert config.max_batch_size >= 64
        batching = config.dynamic_batching
        assert (batching.priority_levels, batching.default_priority_level) == (2, 2)
        policy = batching.default_queue_policy
        assert (policy.timeout_action, policy.allow_timeout_override) == (policy.REJECT, True)
        assert policy.max_queue_size > 0
        assert list(batching.preferred_batch_size) == [1]


@pytest.mark.parametrize(("precision", "flavour"), FLAVOURS)
def test_every_tensor_of_the_table_has_its_type_and_shape(
    tmp_path: Path, precision: Precision, flavour: Flavour
) -> None:
    model = put(tmp_path, precision, flavour, graph=text_graph())
    for file in model.glob("*.pbtxt"):
        config = parsed(model, file.name)
        assert {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in config.input} == {
            "input_ids": (INT64, [-1]),
            "attention_mask": (INT64, [-1]),
            "adapter": (INT64, [1]),
            "spans": (INT64, [-1, 2]),
            "position_ids": (INT64, [3, -1]),
            "image_features": (FP32, [-1, 32]),
            "image_index": (INT64, [-1]),
            "picks": (INT64, [-1]),
        }
        assert {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in config.output} == {
            "sentence_embedding": (FP32, [64]),
            "span_embeddings": (FP32, [-1, 64]),
            "token_embeddings": (FP32, [-1, 64]),
            "picked_embeddings": (FP32, [-1, 64]),
            "logit": (FP32, [1]),
        }


@pytest.mark.parametrize(("precision", "flavour"), FLAVOURS)
def test_a_graph_of_images_bears_the_name_of_its_model(tmp_path: Path, precision: Precision, flavour: Flavour) -> None:
    model = put(tmp_path, precision, flavour, graph=vision_graph(), card=load_card("jina-embeddings-v4"))
    for file in model.glob("*.pbtxt"):
        config = parsed(model, file.name)
        assert config.name == "jina-embeddings-v4-vision"
        assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [
            ("patches", [-1, 24]),
            ("patch_mask", [-1]),
            ("patch_positions", [-1, 2]),
        ]
        assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [("image_features", [-1, 32])]


@pytest.mark.parametrize(
    ("precision", "flavour", "backend", "kind"),
    [
        ("int8", "python", "python", ModelInstanceGroup.KIND_CPU),
        ("int8", "onnxruntime", "onnxruntime", ModelInstanceGroup.KIND_CPU),
        ("fp16", "onnxruntime", "onnxruntime", ModelInstanceGroup.KIND_GPU),
        ("fp16", "tensorrt", "onnxruntime", ModelInstanceGroup.KIND_GPU),
    ],
)
def test_backend_and_device(tmp_path: Path, precision: Precision, flavour: Flavour, backend: str, kind: int) -> None:
    config = parsed(put(tmp_path, precision, flavour))
    assert (config.backend, [group.kind for group in config.instance_group]) == (backend, [kind])


def test_the_cpu_has_one_single_threaded_instance_a_core_and_one_more(tmp_path: Path) -> None:
    model = put(tmp_path)
    config = parsed(model)
    assert config.instance_group[0].count == len(os.sched_getaffinity(0)) + 1
    parameters = {name: value.string_value for name, value in config.parameters.items()}
    assert parameters == {"intra_op_threads": "1", "allow_spinning": "0"}
    compile((model / "1" / "model.py").read_text(), "model.py", "exec")


def test_large_weights_are_held_once(tmp_path: Path) -> None:
    config = parsed(put(tmp_path, weight_bytes=2 << 30))
    assert config.instance_group[0].count == 1
    assert config.parameters["intra_op_threads"].string_value == str(len(os.sched_getaffinity(0)))


def test_tensorrt_covers_every_shape_up_to_the_limits(tmp_path: Path) -> None:
    model = put(tmp_path, "fp16", "tensorrt")
    accelerator = parsed(model).optimization.execution_accelerators.gpu_execution_accelerator[0]
    assert (accelerator.name, accelerator.parameters["precision_mode"]) == ("tensorrt", "FP16")
    assert accelerator.parameters["trt_profile_min_shapes"] == "input_ids:1x1,attention_mask:1x1"
    assert accelerator.parameters["trt_profile_max_shapes"] == "input_ids:256x256,attention_mask:256x256"

    script = model / "build-plan.sh"
    lengths = [
        (int(low), int(high))
        for low, high in re.findall(
            r"--minShapes=input_ids:1x(\d+),.*--maxShapes=input_ids:\d+x(\d+),", script.read_text()
        )
    ]
    assert lengths == [(1, 32), (33, 64), (65, 128), (129, 256)]
    assert list(parsed(model, "config.plan.pbtxt").instance_group[0].profile) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("graph", "limits"),
    [(text_graph(), {"max_rows": 256, "max_images": 2}), (vision_graph(), {"max_rows": 2, "max_images": 256})],
)
def test_building_an_engine_switches_to_it(tmp_path: Path, graph: Graph, limits: dict[str, int]) -> None:
    card = load_card("jina-embeddings-v4")
    model = put(tmp_path, "fp16", "tensorrt", graph=graph, card=card)
    described = tmp_path / card.name / "card.json"
    described.parent.mkdir(exist_ok=True)
    described.write_text(json.dumps({"max_rows": 2, "max_images": 2}, indent=2))
    fake = tmp_path / "bin" / "trtexec"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor option; do case $option in --saveEngine=*) echo > "${option#*=}";; esac; done\n')
    fake.chmod(0o755)
    path = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([model / "build-plan.sh"], check=True, env=os.environ | {"PATH": path}, cwd="/")
    assert (model / "1" / "model.plan").is_file()
    assert parsed(model).backend == "tensorrt"
    assert json.loads(described.read_text()) == limits


LIMITS = [("jina-embeddings-v3", 8192, 8), ("jina-embeddings-v4", 32768, 2), ("jina-reranker-v3", 131072, 1)]


@pytest.mark.parametrize(("name", "longest", "rows"), LIMITS)
def test_long_sequences_leave_an_engine_few_rows(tmp_path: Path, name: str, longest: int, rows: int) -> None:
    model = put(tmp_path, "fp16", "tensorrt", graph=text_graph(), card=load_card(name))
    accelerator = parsed(model).optimization.execution_accelerators.gpu_execution_accelerator[0]
    largest = accelerator.parameters["trt_profile_max_shapes"].split(",")
    assert largest == [
        f"input_ids:{rows}x{longest}",
        f"attention_mask:{rows}x{longest}",
        f"adapter:{rows}x1",
        f"spans:{rows}x1024x2",
        f"position_ids:{rows}x3x{longest}",
        f"image_features:{rows}x{longest}x32",
        f"image_index:{rows}x{longest}",
        f"picks:{rows}x128",
    ]
    assert parsed(model).max_batch_size == rows
    assert parsed(model, "config.plan.pbtxt").max_batch_size == 256


def profiles(model: Path, name: str) -> list[tuple[list[int], list[int], list[int]]]:
    """Smallest, usual and largest shape of an input in each profile of the script."""
    pattern = (
        rf"--minShapes=\S*\b{name}:([\dx]+)\S* --optShapes=\S*\b{name}:([\dx]+)\S* --maxShapes=\S*\b{name}:([\dx]+)"
    )
    script = (model / "build-plan.sh").read_text()
    return [tuple([int(size) for size in shape.split("x")] for shape in found) for found in re.findall(pattern, script)]


@pytest.mark.parametrize("name", [name for name, _, _ in LIMITS])
def test_profiles_follow_one_another_and_stay_in_the_budget(tmp_path: Path, name: str) -> None:
    card = load_card(name)
    model = put(tmp_path, "fp16", "tensorrt", graph=text_graph(), card=card)
    tokens = profiles(model, "input_ids")
    assert [low[1] for low, _, _ in tokens] == [1, *(high[1] + 1 for _, _, high in tokens[:-1])]
    assert tokens[-1][2][1] == card.max_tokens
    for low, usual, high in tokens:
        assert low[0] == 1
        assert usual == high
        assert high[0] * high[1] <= 16_384 or high[0] == 1
    for input_name in text_graph().inputs:
        shapes = profiles(model, input_name)
        assert len(shapes) == len(tokens)
        assert all(low <= usual <= high for low, usual, high in shapes)


def test_profiles_of_patches_come_in_whole_groups(tmp_path: Path) -> None:
    card = load_card("jina-embeddings-v4")
    assert card.image is not None
    graph = vision_graph()
    group, merged = graph.sizes.slot_group, graph.sizes.merged
    slots = profiles(put(tmp_path, "fp16", "tensorrt", graph=graph, card=card), "patches")
    assert [low[1] for low, _, _ in slots] == [group, *(high[1] + group for _, _, high in slots[:-1])]
    assert all(size[1] % group == 0 for profile in slots for size in profile)
    assert slots[-1][2][1] == 2 * merged * card.image.max_tokens
