"""Checkpoints of the Qwen families are read in every layout they are published in, and refused by file and key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from searchmesh.catalog import load_card
from searchmesh.runtime.errors import InvalidArgument, Unimplemented
from searchmesh_export import samples
from searchmesh_export.built import Built
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.families import family
from support.checkpoints_qwen import LENGTH, WIDTH, write_qwen2, write_qwen2_5_vl, write_qwen2_vl, write_qwen3

CODE, V3, M0, V4 = "jina-code-embeddings-0.5b", "jina-reranker-v3", "jina-reranker-m0", "jina-embeddings-v4"
ADAPTERS = "adapters/adapter_model.safetensors"
WRITERS: dict[str, Callable[..., Any]] = {CODE: write_qwen2, V3: write_qwen3, M0: write_qwen2_vl, V4: write_qwen2_5_vl}


def build(name: str, folder: Path) -> Built:
    card = load_card(name)
    return family(card)(Checkpoint(folder), card)


def outputs(built: Built) -> list[torch.Tensor]:
    """Of every graph, for the same random inputs."""
    found: list[torch.Tensor] = []
    for graph in built.graphs:
        values = (torch.from_numpy(value) for value in samples.traced(graph).values())
        with torch.inference_mode():
            found += graph.module(*values)
    return found


def change(folder: Path, file: str, **values: Any) -> None:
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | values))


def change_weights(path: Path, rename: Callable[[str], str | None]) -> None:
    tensors = load_file(path)
    save_file({new: tensor for name, tensor in tensors.items() if (new := rename(name)) is not None}, path)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        (CODE, {"prefix": "model."}, {"prefix": ""}),
        (V3, {"prefix": "model.", "lm_head": True}, {"prefix": "", "lm_head": False}),
        (M0, {"layout": "old"}, {"layout": "new"}),
        (V4, {"layout": "old"}, {"layout": "new"}),
        (V4, {"spelling": "{task}"}, {"spelling": "default.{task}", "layout": "new"}),
    ],
)
def test_layouts_of_every_version_hold_the_same_model(
    tmp_path: Path, name: str, first: dict[str, str], second: dict[str, str]
) -> None:
    write = WRITERS[name]
    one, other = (
        outputs(build(name, write(tmp_path / each, **kwargs).folder)) for each, kwargs in (("a", first), ("b", second))
    )
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        assert torch.isfinite(left).all()
        torch.testing.assert_close(left, right)


@pytest.mark.parametrize("name", [M0, V4])
@pytest.mark.parametrize("layout", ["old", "new"])
def test_missing_weights_are_named_in_both_towers(tmp_path: Path, name: str, layout: str) -> None:
    folder = WRITERS[name](tmp_path / "checkpoint", layout).folder
    weights = folder / "model.safetensors"
    text, visual = ("model.language_model.", "model.visual.") if layout == "new" else ("model.", "visual.")
    change_weights(weights, lambda key: f"{key}_moved" if key == f"{text}layers.1.mlp.up_proj.weight" else key)
    with pytest.raises(InvalidArgument, match=r"model\.safetensors lacks layers\.1\.mlp\.up_proj\.weight"):
        build(name, folder)
    change_weights(weights, lambda key: key.removesuffix("_moved"))
    change_weights(weights, lambda key: key.replace(f"{visual}blocks.0.attn.qkv.bias", f"{visual}blocks.0.attn.odd"))
    with pytest.raises(InvalidArgument, match=r"lacks visual\.blocks\.0\.attn\.qkv\.bias"):
        build(name, folder)


def test_unknown_weights_are_named(tmp_path: Path) -> None:
    folder = write_qwen2(tmp_path / "checkpoint", num_hidden_layers=3).folder
    change(folder, "config.json", num_hidden_layers=2)
    with pytest.raises(InvalidArgument, match=r"has unknown model\.layers\.2\.input_layernorm\.weight, .* more"):
        build(CODE, folder)


@pytest.mark.parametrize(("name", "head"), [(V3, "projector.2.weight"), (M0, "score.2.bias")])
def test_a_missing_head_is_named(tmp_path: Path, name: str, head: str) -> None:
    folder = WRITERS[name](tmp_path / "checkpoint").folder
    change_weights(folder / "model.safetensors", lambda key: None if key == head else key)
    with pytest.raises(InvalidArgument, match=rf"lacks {head}"):
        build(name, folder)


def test_a_task_without_its_adapter_is_named(tmp_path: Path) -> None:
    folder = write_qwen2_5_vl(tmp_path / "checkpoint").folder
    lost = "multi_vector_projector.lora_B.code.weight"
    change_weights(folder / ADAPTERS, lambda key: None if key.endswith(lost) else key)
    with pytest.raises(InvalidArgument, match=rf"lacks {lost}"):
        build(V4, folder)
    change_weights(folder / ADAPTERS, lambda key: key.replace(".code.", ".coding."))
    with pytest.raises(InvalidArgument, match=r"lacks .*lora_A\.code\.weight"):
        build(V4, folder)


def test_adapters_of_another_rank_are_misshapen(tmp_path: Path) -> None:
    folder = write_qwen2_5_vl(tmp_path / "checkpoint").folder
    change(folder, "adapters/adapter_config.json", r=8)
    with pytest.raises(InvalidArgument, match=r"has misshapen .*lora_A\.retrieval\.weight \[4, 64\]"):
        build(V4, folder)


def test_the_scaling_of_adapters_is_the_files(tmp_path: Path) -> None:
    folder = write_qwen2_5_vl(tmp_path / "checkpoint").folder
    up = "multi_vector_projector.up"
    plain = build(V4, folder).text.module.get_parameter(up)
    change(folder, "adapters/adapter_config.json", lora_alpha=12)
    torch.testing.assert_close(build(V4, folder).text.module.get_parameter(up), 2 * plain)
    change(folder, "adapters/adapter_config.json", use_rslora=True)
    torch.testing.assert_close(build(V4, folder).text.module.get_parameter(up), 4 * plain)


@pytest.mark.parametrize(
    ("file", "values", "problem"),
    [
        ("adapters/adapter_config.json", {"r": None}, "has no usable r"),
        ("adapters/adapter_config.json", {"use_dora": True}, "has use_dora"),
        ("adapters/adapter_config.json", {"rank_pattern": {"q_proj": 8}}, "has rank_pattern"),
        ("config.json", {"hidden_size": None}, "has no usable hidden_size"),
        ("config.json", {"rms_norm_eps": None}, "has no usable rms_norm_eps"),
        ("config.json", {"rope_theta": None}, "has no usable rope_theta"),
        ("config.json", {"rope_scaling": {"type": "yarn", "factor": 4}}, "positions of the type 'yarn'"),
        ("config.json", {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 1]}}, "mrope_section whose sum"),
        ("config.json", {"rope_scaling": None}, "has no mrope_section"),
        ("config.json", {"use_sliding_window": True}, "asks for sliding_attention"),
        ("config.json", {"num_key_value_heads": 3}, "no multiple of num_key_value_heads"),
        ("config.json", {"hidden_act": "swoosh"}, "has the activation 'swoosh'"),
        ("config.json", {"vision_config": {}}, "has no usable"),
        ("preprocessor_config.json", {"image_mean": None}, "has no usable image_mean"),
        ("preprocessor_config.json", {"patch_size": 16}, "has patch_size 16, config.json 14"),
        ("preprocessor_config.json", {"resample": 2}, "asks for the resampling 2"),
        ("preprocessor_config.json", {"max_pixels": 100}, "no usable limits of pixels: 3136 to 100"),
    ],
)
def test_what_cannot_be_exported_is_named(tmp_path: Path, file: str, values: dict[str, Any], problem: str) -> None:
    folder = write_qwen2_5_vl(tmp_path / "checkpoint").folder
    change(folder, file, **values)
    with pytest.raises(InvalidArgument, match=problem) as raised:
        build(V4, folder)
    assert file in raised.value.problem


@pytest.mark.parametrize("file", [ADAPTERS, "adapters/adapter_config.json", "preprocessor_config.json"])
def test_a_missing_file_is_named(tmp_path: Path, file: str) -> None:
    folder = write_qwen2_5_vl(tmp_path / "checkpoint").folder
    (folder / file).unlink()
    with pytest.raises(InvalidArgument, match=f"{file} does not exist"):
        build(V4, folder)


def test_the_narrower_limit_of_pixels_counts(tmp_path: Path) -> None:
    folder = write_qwen2_5_vl(tmp_path / "checkpoint").folder
    card = load_card(V4)
    assert card.image is not None
    change(folder, "preprocessor_config.json", max_pixels=12_845_056, min_pixels=1)
    image = build(V4, folder).card.image
    assert image is not None
    assert (image.min_pixels, image.max_pixels) == (card.image.min_pixels, card.image.max_pixels)
    assert image.max_tokens == card.image.max_tokens


def test_limits_may_be_given_as_edges(tmp_path: Path) -> None:
    folder = write_qwen2_5_vl(tmp_path / "checkpoint").folder
    size = {"shortest_edge": 6272, "longest_edge": 15_680}
    change(folder, "preprocessor_config.json", max_pixels=None, min_pixels=None, size=size)
    image = build(V4, folder).card.image
    assert image is not None
    assert (image.min_pixels, image.max_pixels, image.max_tokens) == (6272, 15_680, 20)


def test_the_longest_sequence_is_the_shortest_limit(tmp_path: Path) -> None:
    folder = write_qwen2(tmp_path / "checkpoint").folder
    assert build(CODE, folder).card.max_tokens == LENGTH
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48}')
    assert build(CODE, folder).card.max_tokens == 48


def test_the_last_token_is_whatever_the_tokenizer_puts_last(tmp_path: Path) -> None:
    published = write_qwen2(tmp_path / "checkpoint", eos=True)
    tokenizer = Checkpoint(published.folder).tokenizer()
    ids = torch.tensor([tokenizer.encode("the query").ids])
    assert ids[0, -1] == tokenizer.token_to_id("<|endoftext|>")
    with torch.inference_mode():
        (vector,) = build(CODE, published.folder).text.module(ids, torch.ones_like(ids))
        expected = published.model(input_ids=ids).last_hidden_state[:, -1]
    torch.testing.assert_close(vector, functional.normalize(expected, dim=-1))


def test_kinds_that_a_family_has_not_are_refused(tmp_path: Path) -> None:
    for name, folder in ((CODE, write_qwen2(tmp_path / "a").folder), (V4, write_qwen2_5_vl(tmp_path / "b").folder)):
        card = load_card(name).model_copy(update={"kind": "multi_vector"})
        with pytest.raises(Unimplemented, match=f"{name} is a multi_vector model"):
            family(card)(Checkpoint(folder), card)


def test_the_vision_tower_must_fit_the_decoder(tmp_path: Path) -> None:
    folder = write_qwen2_5_vl(tmp_path / "checkpoint").folder
    vision = json.loads((folder / "config.json").read_text())["vision_config"]
    change(folder, "config.json", vision_config=vision | {"out_hidden_size": 32})
    with pytest.raises(InvalidArgument, match=f"gives 32 numbers instead of {WIDTH}"):
        build(V4, folder)
