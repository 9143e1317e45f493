"""How a Qwen-VL checkpoint wants its images, from preprocessor_config.json."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from searchmesh.catalog import Card, Image
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.qwen_config import VisionConfig

_FILE = "preprocessor_config.json"

_BICUBIC = 3
"""As Pillow counts filters."""


def image_section(checkpoint: Checkpoint, card: Card, config: VisionConfig) -> Image:
    """The card's section with what the file says.

    The narrower one of the file's and the card's limits of pixels counts: some checkpoints ship the limits of their
    base model and narrow them in code. Raises InvalidArgument for what is missing, or contradicts config.json.
    """
    given = {name: value for name, value in checkpoint.json(_FILE).items() if value is not None}
    for field, value in {
        "patch_size": config.patch_size,
        "merge_size": config.spatial_merge_size,
        "temporal_patch_size": config.temporal_patch_size,
    }.items():
        if given.get(field, value) != value:
            raise checkpoint.wrong(_FILE, f"has {field} {given[field]}, config.json {value}")
    if given.get("resample", _BICUBIC) != _BICUBIC:
        raise checkpoint.wrong(_FILE, f"asks for the resampling {given['resample']}; there is bicubic ({_BICUBIC})")
    section = card.image or Image()
    size = given.get("size", {})
    lowest = _limit(max, given.get("min_pixels", size.get("shortest_edge")), section.min_pixels)
    highest = _limit(min, given.get("max_pixels", size.get("longest_edge")), section.max_pixels)
    if lowest is None or highest is None or not 0 < lowest <= highest:
        raise checkpoint.wrong(_FILE, f"has no usable limits of pixels: {lowest} to {highest}")
    return section.model_copy(
        update={
            "mean": _channels(checkpoint, given, "image_mean", config.in_channels),
            "std": _channels(checkpoint, given, "image_std", config.in_channels),
            "resample": "bicubic",
            "min_pixels": lowest,
            "max_pixels": highest,
            "tile": config.tile,
            "tokens_per_tile": 1,
            "patch": config.patch_size,
            "merge": config.spatial_merge_size,
            "temporal": config.temporal_patch_size,
            "window": config.window,
            "max_tokens": highest // config.tile**2,
        }
    )


def _channels(checkpoint: Checkpoint, given: Any, field: str, channels: int) -> tuple[float, ...]:
    values = given.get(field)
    if not isinstance(values, list) or len(values) != channels:
        raise checkpoint.wrong(_FILE, f"has no usable {field}")
    return tuple(float(value) for value in values)


def _limit(narrower: Callable[..., int], *limits: int | None) -> int | None:
    known = [limit for limit in limits if limit is not None]
    return narrower(known) if known else None
