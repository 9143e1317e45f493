"""What tritonserver reads: every flavour parses as ModelConfig and says what its services rely on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from onnx import helper
from tokenizers import Tokenizer
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from searchmesh.catalog import ExportedModel, Flavour, ModelRepository, Parity, Precision, load_card
from searchmesh_export.repository import write
from support.models import write_tokenizer

NAME = "all-MiniLM-L6-v2"


def put(repository: Path, precision: Precision = "fp32", flavour: Flavour = "python") -> ExportedModel:
    tokenizer = repository / "tokenizer.json"
    if not tokenizer.exists():  # training one has no fixed outcome
        write_tokenizer(tokenizer)
    return write(
        repository / "models",
        load_card(NAME),
        helper.make_model(helper.make_graph([], "empty", [], [])),
        Tokenizer.from_file(str(tokenizer)),
        width=384,
        precision=precision,
        flavour=flavour,
        parity=Parity(cosine_error=0, absolute_error=0, cosine_tolerance=1),
        versions={},
    )


def parsed(model: ExportedModel, file: str = "config.pbtxt") -> ModelConfig:
    return text_format.Parse((model.path / file).read_text(), ModelConfig())


FLAVOURS: list[tuple[Precision, Flavour]] = [
    ("fp32", "python"), ("int8", "python"),
    ("fp32", "onnxruntime"), ("fp16", "onnxruntime"), ("int8", "onnxruntime"),
    ("fp32", "tensorrt"), ("fp16", "tensorrt"),
]  # fmt: skip


@pytest.mark.parametrize(("precision", "flavour"), FLAVOURS)
def test_every_flavour_has_the_same_tensors_and_lanes(tmp_path: Path, precision: Precision, flavour: Flavour) -> None:
    model = put(tmp_path, precision, flavour)
    for file in model.path.glob("*.pbtxt"):
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
    compile((model.path / "1" / "model.py").read_text(), "model.py", "exec")


def test_tensorrt_covers_every_shape_up_to_the_limits(tmp_path: Path) -> None:
    model = put(tmp_path, "fp16", "tensorrt")
    accelerator = parsed(model).optimization.execution_accelerators.gpu_execution_accelerator[0]
    assert (accelerator.name, accelerator.parameters["precision_mode"]) == ("tensorrt", "FP16")
    assert accelerator.parameters["trt_profile_min_shapes"] == "input_ids:1x1,attention_mask:1x1"
    assert accelerator.parameters["trt_profile_max_shapes"] == "input_ids:256x256,attention_mask:256x256"

    script = model.path / "build-plan.sh"
    lengths = [
        (int(low), int(high))
        for low, high in re.findall(
            r"--minShapes=input_ids:1x(\d+),.*--maxShapes=input_ids:\d+x(\d+),", script.read_text()
        )
    ]
    assert lengths == [(1, 32), (33, 64), (65, 128), (129, 256)]
    assert list(parsed(model, "config.plan.pbtxt").instance_group[0].profile) == ["0", "1", "2", "3"]


def test_building_an_engine_switches_to_it(tmp_path: Path) -> None:
    model = put(tmp_path, "fp16", "tensorrt")
    fake = tmp_path / "bin" / "trtexec"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor option; do case $option in --saveEngine=*) echo > "${option#*=}";; esac; done\n')
    fake.chmod(0o755)
    path = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([model.path / "build-plan.sh"], check=True, env=os.environ | {"PATH": path}, cwd="/")
    assert (model.path / "1" / "model.plan").is_file()
    assert parsed(model).backend == "tensorrt"


def test_writing_twice_gives_the_same_files(tmp_path: Path) -> None:
    def contents(model: ExportedModel) -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in model.path.rglob("*") if file.is_file()}

    first = contents(put(tmp_path))
    assert contents(put(tmp_path)) == first
    assert [file.name for file in (tmp_path / "models").iterdir()] == [NAME]


def test_nothing_of_an_earlier_flavour_stays(tmp_path: Path) -> None:
    put(tmp_path, "fp16", "tensorrt")
    model = put(tmp_path, "int8", "python")
    assert sorted(file.name for file in model.path.iterdir()) == ["1", "card.json", "config.pbtxt", "tokenizer.json"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path)

    def fail(*_: object, **__: object) -> bytes:
        raise OSError("no space left")

    monkeypatch.setattr(onnx.ModelProto, "SerializeToString", fail)
    with pytest.raises(OSError, match="no space left"):
        put(tmp_path, "int8")
    assert ModelRepository(tmp_path / "models").load(NAME).precision == "fp32"
    assert [file.name for file in (tmp_path / "models").iterdir()] == [NAME]


def test_digests_are_those_of_the_files(tmp_path: Path) -> None:
    model = put(tmp_path)
    for digest, file in {
        model.model_digest: model.path / "1" / "model.onnx",
        model.tokenizer_digest: model.tokenizer_path,
    }.items():
        shown = subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout
        assert shown.split()[0] == digest
