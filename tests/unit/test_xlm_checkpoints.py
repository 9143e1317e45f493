"""What XLM-RoBERTa checkpoints leave open or get wrong: adapters by name, positions, key prefixes, published angles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from searchmesh.catalog import Card, load_card
from searchmesh.runtime.errors import InvalidArgument, Unimplemented
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.eva import EvaConfig, angles
from searchmesh_export.xlm_encoder import XlmEncoder
from searchmesh_export.xlm_roberta import build
from support import checkpoints_xlm as xlm

V3, COLBERT, CLIP = load_card("jina-embeddings-v3"), load_card("jina-colbert-v2"), load_card("jina-clip-v2")
PAIRS = load_card("jina-reranker-v2-base-multilingual")

IDS = torch.tensor([[0, 11, 12, 13, 2]])
MASK = torch.ones_like(IDS)


def change_config(folder: Path, **values: Any) -> None:
    """Values of None take the field out."""
    config = json.loads((folder / "config.json").read_text()) | values
    kept = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))


def rename_weights(folder: Path, old: str, new: str) -> None:
    file = folder / "model.safetensors"
    save_file({name.replace(old, new, 1): tensor for name, tensor in load_file(file).items()}, file)


def encoder(folder: Path, card: Card) -> XlmEncoder:
    found = build(Checkpoint(folder), card).text.module.encoder
    assert isinstance(found, XlmEncoder)
    return found


def adapted(folder: Path, adapter: int) -> torch.Tensor:
    module = build(Checkpoint(folder), V3).text.module
    with torch.inference_mode():
        (vector,) = module(IDS, MASK, torch.tensor([[adapter]]), torch.tensor([[[0, 5]]]))[0]
    assert isinstance(vector, torch.Tensor)
    return vector


def test_adapters_are_found_by_name(tmp_path: Path) -> None:
    folder = xlm.write_v3(tmp_path / "v3").folder
    query, passage = adapted(folder, 0), adapted(folder, 1)
    assert (query - passage).abs().max() > 1e-3
    change_config(folder, lora_adaptations=["retrieval.passage", "retrieval.query", *xlm.ADAPTERS[2:]])
    torch.testing.assert_close(adapted(folder, 0), passage)
    torch.testing.assert_close(adapted(folder, 1), query)
    change_config(folder, lora_adaptations=None)
    torch.testing.assert_close(adapted(folder, 0), query)


def test_an_adapter_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = xlm.write_v3(tmp_path / "v3").folder
    change_config(folder, lora_adaptations=["retrieval.query", "separation"])
    with pytest.raises(InvalidArgument, match=r"config\.json has no retrieval\.passage, classification, text-matching"):
        build(Checkpoint(folder), V3)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"lora_rank": None}, r"config\.json has no usable lora_rank"),
        ({"hidden_act": "swish"}, r"config\.json has the activation 'swish'"),
        ({"num_attention_heads": 5}, "no even multiple of num_attention_heads"),
        ({"hidden_size": 0, "layer_norm_eps": None}, "no usable hidden_size, layer_norm_eps"),
        ({"position_embedding_type": "alibi"}, "no usable position_embedding_type"),
    ],
)
def test_configurations_that_cannot_be_built_are_refused(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    folder = xlm.write_v3(tmp_path / "v3").folder
    change_config(folder, **change)
    with pytest.raises(InvalidArgument, match=problem):
        build(Checkpoint(folder), V3)


def test_positions_are_the_cards_where_the_checkpoint_is_silent(tmp_path: Path) -> None:
    for card, folder, rotary in (
        (COLBERT, xlm.write_colbert(tmp_path / "colbert").folder, True),
        (PAIRS, xlm.write_pairs(tmp_path / "pairs").folder, False),
    ):
        change_config(folder, position_embedding_type=None)
        assert encoder(folder, card).rotary is rotary


@pytest.mark.parametrize("prefix", ["roberta.", "bert.", "model.", ""])
def test_what_stands_before_the_names_makes_no_difference(tmp_path: Path, prefix: str) -> None:
    plain = xlm.write_colbert(tmp_path / "plain", "roberta.").folder
    other = xlm.write_colbert(tmp_path / "other", prefix).folder
    for one, two in zip(
        encoder(plain, COLBERT).state_dict().values(), encoder(other, COLBERT).state_dict().values(), strict=True
    ):
        assert torch.equal(one, two)


def test_keys_of_either_tower_of_a_clip_are_named(tmp_path: Path) -> None:
    for number, (old, missing) in enumerate(
        {
            "text_model.transformer.roberta.emb_ln.bias": "emb_ln.bias",
            "vision_model.blocks.1.attn.q_bias": "blocks.1.attn.q_bias",
        }.items()
    ):
        folder = xlm.write_clip(tmp_path / str(number)).folder
        rename_weights(folder, old, f"{old}.gone")
        with pytest.raises(InvalidArgument, match=rf"model\.safetensors lacks {missing}"):
            build(Checkpoint(folder), CLIP)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_published_angles_confirm_the_configuration(tmp_path: Path, dtype: torch.dtype) -> None:
    published = xlm.write_clip(tmp_path / "clip")
    config = EvaConfig.model_validate(json.loads((published.folder / "config.json").read_text())["vision_config"])
    turns = angles(config).repeat_interleave(2, dim=1)
    file = published.folder / "model.safetensors"
    buffers = {f"{place}rope.freqs_cos": turns.cos().to(dtype) for place in ("", "blocks.0.attn.", "blocks.1.attn.")}
    save_file(load_file(file) | {f"vision_model.{name}": buffer.clone() for name, buffer in buffers.items()}, file)
    assert len(build(Checkpoint(published.folder), CLIP).graphs) == 2
    change_config(
        published.folder,
        vision_config=json.loads((published.folder / "config.json").read_text())["vision_config"]
        | {"intp_freq": False},
    )
    with pytest.raises(InvalidArgument, match=r"rope\.freqs_cos that are not those of config\.json's vision_config"):
        build(Checkpoint(published.folder), CLIP)


@pytest.mark.parametrize("change", [{"post_norm": True}, {"rope_embeddings": False}])
def test_towers_of_another_kind_are_refused(tmp_path: Path, change: dict[str, bool]) -> None:
    folder = xlm.write_clip(tmp_path / "clip", **change).folder
    with pytest.raises(InvalidArgument, match=rf"no usable vision_config\.{next(iter(change))}"):
        build(Checkpoint(folder), CLIP)


def test_kinds_that_there_are_none_of_are_refused(tmp_path: Path) -> None:
    folder = xlm.write_v3(tmp_path / "v3").folder
    with pytest.raises(Unimplemented, match="reranker_listwise"):
        build(Checkpoint(folder), V3.model_copy(update={"kind": "reranker_listwise"}))
    with pytest.raises(Unimplemented, match="no section adapters"):
        build(Checkpoint(folder), V3.model_copy(update={"adapters": None}))
