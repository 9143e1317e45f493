"""jina-vlm checkpoints are refused by file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from searchmesh.catalog import load_card
from searchmesh.runtime.errors import InvalidArgument
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.jina_vlm_images import image_section
from searchmesh_export.jina_vlm_text import language_model
from support.checkpoints_vlm import write_vlm

CARD = load_card("jina-vlm")
HEAD = "lm_head.weight"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"interpolation": "lanczos"}, "no usable interpolation"),
        ({"cropping_method": "adaptive-slicing"}, "no usable cropping_method"),
        ({"normalization_method": "gaussian"}, "no usable normalization_method"),
        ({"preserve_aspect_ratio": True}, "no usable preserve_aspect_ratio"),
        ({"patch_size": 16}, "has the patch_size 16, config.json 14"),
        ({"base_input_size": [378, 378]}, "has the base_input_size"),
        ({"overlap_margins": [3, 4]}, "not multiples of 2"),
        ({"overlap_margins": [6, 6]}, "leave nothing of 11 patches"),
    ],
)
def test_what_is_done_with_images_has_to_be_known(tmp_path: Path, values: dict[str, Any], problem: str) -> None:
    folder = write_vlm(tmp_path / "checkpoint", **values).folder
    with pytest.raises(InvalidArgument, match=r"preprocessor_config\.json") as raised:
        image_section(Checkpoint(folder), CARD)
    assert problem in raised.value.problem


def test_what_the_file_leaves_out_is_what_its_processor_takes(tmp_path: Path) -> None:
    folder = write_vlm(tmp_path / "checkpoint").folder
    file = folder / "preprocessor_config.json"
    left = ("cropping_method", "normalization_method", "base_input_size", "max_pixels")
    given = {name: value for name, value in json.loads(file.read_text()).items() if name in left}
    file.write_text(json.dumps(given))
    section = image_section(Checkpoint(folder), CARD)
    assert CARD.image is not None
    assert section.crops is not None
    assert (section.resample, section.crops.resize_in_float, section.crops.max_crops) == ("bicubic", True, 6)
    assert (section.min_pixels, section.max_pixels) == (CARD.image.min_pixels, CARD.image.max_pixels)


def change(folder: Path, **tensors: torch.Tensor | None) -> None:
    weights = load_file(folder / "model.safetensors") | tensors
    save_file({name: tensor for name, tensor in weights.items() if tensor is not None}, folder / "model.safetensors")


def test_tensors_of_the_decoder_are_named(tmp_path: Path) -> None:
    folder = write_vlm(tmp_path / "checkpoint").folder
    weights = load_file(folder / "model.safetensors")
    layer = "model.language_model.layers.1"
    for change_to, problem in (
        ({f"{layer}.attn.k_lnorm.weight": None}, r"lacks layers\.1\.attn\.k_lnorm\.weight"),
        (
            {"model.language_model.embedding.new_embedding": None},
            r"lacks model\.language_model\.embedding\.new_embedding",
        ),
        ({HEAD: None}, r"lacks lm_head\.weight"),
        ({f"{layer}.attn.v_lnorm.weight": torch.ones(2)}, r"unknown model\.language_model\.layers\.1\.attn\.v_lnorm"),
        ({HEAD: torch.zeros(1000, 64)}, r"1000 rows of lm_head\.weight for"),
    ):
        save_file(weights, folder / "model.safetensors")
        change(folder, **change_to)
        with pytest.raises(InvalidArgument, match=problem):
            language_model(Checkpoint(folder), CARD)


def test_a_head_knows_fewer_tokens_than_there_are_to_read(tmp_path: Path) -> None:
    own = write_vlm(tmp_path / "checkpoint")
    model, config = language_model(Checkpoint(own.folder), CARD)
    ids = torch.tensor([[1, own.id("<im_patch>"), 5]])
    assert config.vocab_size == len(own.head) + 8
    with torch.inference_mode():
        logits = model(ids)[0]
        expected = own.decoder(input_ids=ids).last_hidden_state[0] @ own.head.T
    assert logits.shape == (3, len(own.head))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
