"""A checkpoint that cannot be exported says what is wrong with it, by file and key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from searchmesh.catalog import HubSource, load_card
from searchmesh.local.home import Home
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, Unimplemented
from searchmesh_export.bert import load_bert
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.exporter import check_combination, export_model, source_folder
from support.checkpoints import write_bert

Weights = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bert(tmp_path / "checkpoint")


def change_weights(folder: Path, change: Callable[[Weights], Weights]) -> None:
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors")


def change_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_missing_weights_are_named(folder: Path) -> None:
    change_weights(folder, lambda weights: {k: v for k, v in weights.items() if "layer.1.attention.self.key" not in k})
    with pytest.raises(InvalidArgument) as raised:
        load_bert(Checkpoint(folder))
    assert raised.value.problem == (
        f"{folder}/model.safetensors lacks encoder.layer.1.attention.self.key.weight,"
        " encoder.layer.1.attention.self.key.bias"
    )


def test_unknown_weights_are_named(folder: Path) -> None:
    extra = {f"encoder.layer.{n}.adapter.weight": torch.ones(2) for n in range(8)}
    change_weights(folder, lambda weights: weights | extra)
    with pytest.raises(InvalidArgument, match=r"has unknown encoder\.layer\.0\.adapter\.weight, .* and 3 more"):
        load_bert(Checkpoint(folder))


def test_misshapen_weights_are_named_with_both_shapes(folder: Path) -> None:
    change_weights(folder, lambda weights: weights | {"encoder.layer.0.output.dense.bias": torch.ones(5)})
    with pytest.raises(InvalidArgument, match=r"has misshapen encoder\.layer\.0\.output\.dense\.bias \[5\] instead of"):
        load_bert(Checkpoint(folder))


def test_a_prefix_half_precision_and_unused_weights_make_no_difference(folder: Path) -> None:
    plain, _ = load_bert(Checkpoint(folder))
    change_weights(folder, lambda weights: {f"bert.{name}": weight.half() for name, weight in weights.items()})
    prefixed, _ = load_bert(Checkpoint(folder))
    for one, other in zip(plain.state_dict().values(), prefixed.state_dict().values(), strict=True):
        assert other.dtype is torch.float32
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_weights_in_several_files_are_read_as_one(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    assert set(Checkpoint(folder).weights()) == set(weights)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.json", None, "config.json does not exist"),
        ("config.json", "{", "config.json is not JSON"),
        ("config.json", "[]", "config.json holds no JSON object"),
        ("model.safetensors", None, "model.safetensors does not exist"),
        ("model.safetensors", "junk", "model.safetensors cannot be read"),
        ("tokenizer.json", None, "tokenizer.json does not exist"),
        ("tokenizer.json", "{}", "tokenizer.json cannot be read"),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "asks for pooling_mode_max_tokens"),
    ],
)
def test_files_that_are_missing_or_broken_are_named(
    folder: Path, tmp_path: Path, file: str, content: str | None, problem: str
) -> None:
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(InvalidArgument, match=problem):
        export_model(load_card("all-MiniLM-L6-v2"), folder, tmp_path, precision="fp32", flavour="python")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"hidden_size": None}, "no usable hidden_size"),
        ({"hidden_act": "swish"}, "the activation 'swish'; there are gelu"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"num_attention_heads": 5}, "no multiple of num_attention_heads"),
    ],
)
def test_configurations_that_cannot_be_built_are_refused(folder: Path, change: dict[str, object], problem: str) -> None:
    change_config(folder, **change)
    with pytest.raises(InvalidArgument, match=problem):
        load_bert(Checkpoint(folder))


def test_limits_come_from_the_folder(folder: Path) -> None:
    assert (Checkpoint(folder).max_tokens(), Checkpoint(folder).pooling()) == (None, "mean")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48}')
    assert Checkpoint(folder).max_tokens() == 48


def test_the_tokenizer_neither_cuts_nor_pads(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert len(Checkpoint(folder).tokenizer().encode("the quick brown fox").ids) > 3


def test_the_default_model_comes_from_its_package_and_others_are_pulled_or_in_a_folder(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert (source_folder(load_card("all-MiniLM-L6-v2"), home) / "model.safetensors").is_file()
    clip = load_card("jina-clip-v2")
    with pytest.raises(FailedPrecondition, match=r"models pull jina-clip-v2, or .* models export .* --from FOLDER"):
        source_folder(clip, home)
    assert isinstance(clip.source, HubSource)
    pulled = home.checkpoint("jina-clip-v2", clip.source.revision)
    pulled.mkdir(parents=True)
    assert source_folder(clip, home) == pulled


def test_an_unknown_architecture_is_refused_before_any_work(tmp_path: Path) -> None:
    card = load_card("jina-embeddings-v3")
    tower = card.checkpoint.text.model_copy(update={"family": "mamba"})
    unknown = card.model_copy(update={"checkpoint": card.checkpoint.model_copy(update={"text": tower})})
    with pytest.raises(Unimplemented, match=r"jina-embeddings-v3 is of the kind embedding and the family mamba"):
        export_model(unknown, tmp_path, tmp_path, precision="fp32", flavour="python")


def test_precisions_that_a_flavour_cannot_run_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="python takes fp32 or int8"):
        check_combination("fp16", "python")
    with pytest.raises(InvalidArgument, match="tensorrt takes fp32 or fp16"):
        check_combination("int8", "tensorrt")
