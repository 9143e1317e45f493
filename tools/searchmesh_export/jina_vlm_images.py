"""How a jina-vlm checkpoint wants its images, from preprocessor_config.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from searchmesh.catalog import Card, Image
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.jina_vlm_config import vision_config

_FILE = "preprocessor_config.json"


class _Size(BaseModel):
    shortest_edge: int = Field(gt=0)
    """Pixels of an image in all, not along an edge."""
    longest_edge: int = Field(gt=0)


class _Preprocessor(BaseModel):
    """What the file says, and where it says nothing what its processor takes."""

    cropping_method: Literal["overlap-and-resize"]
    normalization_method: Literal["minmax"]
    image_min: float = -1.0
    image_max: float = 1.0
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    resize_in_float32: bool = True
    antialias: Literal[True] = True
    preserve_aspect_ratio: Literal[False] = False
    do_resize: Literal[True] = True
    size: _Size | None = None
    min_pixels: int | None = Field(None, gt=0)
    max_pixels: int | None = Field(None, gt=0)
    max_crops: int = Field(6, gt=0)
    base_input_size: tuple[int, int]
    patch_size: int = Field(14, gt=0)
    overlap_margins: tuple[int, int] = (4, 4)
    use_column_tokens: bool = True
    pooling_w: int = Field(2, gt=0)
    pooling_h: int = Field(2, gt=0)


def image_section(checkpoint: Checkpoint, card: Card) -> Image:
    """The card's section with what the file says. Raises InvalidArgument for what is missing, of a kind that there is
    not, or contradicts config.json."""
    own = card.image or Image()
    if own.crops is None:
        raise checkpoint.wrong(_FILE, f"says how images become crops, the card of {card.name} does not")
    try:
        given = _Preprocessor.model_validate(checkpoint.json(_FILE))
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise checkpoint.wrong(_FILE, f"has no usable {fields}") from error
    config = vision_config(checkpoint)
    for field, value, there in (
        ("base_input_size", given.base_input_size, config.input_size),
        ("patch_size", given.patch_size, config.patch_size),
        ("pooling_h", given.pooling_h, config.vl_connector_config.pooling_h),
        ("pooling_w", given.pooling_w, config.vl_connector_config.pooling_w),
    ):
        if value != there:
            raise checkpoint.wrong(_FILE, f"has the {field} {value}, config.json {there}")
    if any(margin % given.pooling_h for margin in given.overlap_margins):
        raise checkpoint.wrong(_FILE, f"has overlap_margins that are not multiples of {given.pooling_h}")
    if sum(given.overlap_margins) >= config.side:
        raise checkpoint.wrong(_FILE, f"has overlap_margins that leave nothing of {config.side} patches")
    lowest = given.min_pixels or (given.size and given.size.shortest_edge) or own.min_pixels
    highest = given.max_pixels or (given.size and given.size.longest_edge) or own.max_pixels
    crops = own.crops.model_copy(
        update={
            "max_crops": given.max_crops,
            "size": config.input_size[0],
            "margins_patches": given.overlap_margins,
            "pool": given.pooling_h,
            "column": own.crops.column if given.use_column_tokens else None,
            "resize_in_float": given.resize_in_float32,
        }
    )
    return own.model_copy(
        update={
            "scale": (given.image_min, given.image_max),
            "resample": given.interpolation,
            "min_pixels": lowest,
            "max_pixels": highest,
            "patch": config.patch_size,
            "crops": crops,
        }
    )
