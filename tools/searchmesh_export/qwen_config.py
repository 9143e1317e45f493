"""Sizes of the Qwen families from config.json, in any of the layouts that transformers has written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from searchmesh_export.checkpoint import Checkpoint

_FILE = "config.json"


class TextConfig(BaseModel):
    """The part that shapes the decoder."""

    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    max_position_embeddings: int = Field(gt=0)
    rms_norm_eps: float = Field(gt=0)
    rope_theta: float = Field(gt=0)
    hidden_act: str = "silu"
    mrope_section: tuple[int, ...] = ()
    """How many frequencies go with the temporal, height and width position, in turn; empty: there is one position."""


class VisionConfig(BaseModel):
    """The part that shapes the vision tower. What has a value here is what transformers takes if none is given."""

    gated: bool
    """RMSNorm and a gated feed-forward layer (Qwen2.5-VL) instead of LayerNorm and a plain one."""
    width: int = Field(gt=0)
    output: int = Field(gt=0)
    """Width of what it gives, which is the decoder's."""
    intermediate_size: int = Field(gt=0)
    depth: int = Field(gt=0)
    num_heads: int = Field(gt=0)
    hidden_act: str
    in_channels: int = Field(3, gt=0)
    patch_size: int = Field(14, gt=0)
    temporal_patch_size: int = Field(2, gt=0)
    spatial_merge_size: int = Field(2, gt=0)
    rope_theta: float = Field(10_000.0, gt=0)
    window_size: int | None = Field(None, gt=0)
    """Pixels along each side of an attention window."""
    fullatt_block_indexes: tuple[int, ...] = ()
    """Blocks without windows, where there are windows."""

    @property
    def values(self) -> int:
        """Numbers of one patch."""
        return self.in_channels * self.temporal_patch_size * self.patch_size**2

    @property
    def merged(self) -> int:
        """Patches that become one token."""
        return self.spatial_merge_size**2

    @property
    def tile(self) -> int:
        """Pixels along each side of one token."""
        return self.patch_size * self.spatial_merge_size

    @property
    def window(self) -> int | None:
        """Tokens along each side of an attention window."""
        return None if self.window_size is None else self.window_size // self.tile

    @property
    def slot_group(self) -> int:
        """Slots that come together: those of a window, or of a token."""
        return self.merged * (self.window or 1) ** 2

    def windowed(self, block: int) -> bool:
        """Whether attention stays within windows."""
        return self.window is not None and block not in self.fullatt_block_indexes


def text_config(checkpoint: Checkpoint) -> TextConfig:
    """Raises InvalidArgument for sizes that are missing or do not fit together, and for attention or positions of a
    kind that the decoder does not have."""
    config: dict[str, Any] = {**checkpoint.config, **(checkpoint.config.get("text_config") or {})}
    # transformers 5 writes rope_parameters, earlier versions rope_theta and rope_scaling.
    rope = {"rope_theta": config.get("rope_theta"), **(config.get("rope_scaling") or {})}
    rope.update(config.get("rope_parameters") or {})
    if (kind := rope.get("rope_type", rope.get("type", "default"))) not in ("default", "mrope"):
        raise checkpoint.wrong(_FILE, f"has positions of the type {kind!r}; there are default and mrope")
    if config.get("use_sliding_window") or "sliding_attention" in (config.get("layer_types") or ()):
        raise checkpoint.wrong(_FILE, "asks for sliding_attention; there is full attention")
    heads = config.get("num_attention_heads") or 1
    defaults = {
        "num_key_value_heads": heads,
        "head_dim": (config.get("hidden_size") or 0) // heads,
        "rope_theta": rope["rope_theta"],
        "mrope_section": rope.get("mrope_section", ()),
    }
    read = _read(TextConfig, checkpoint, defaults | _given(config))
    if read.num_attention_heads % read.num_key_value_heads:
        raise checkpoint.wrong(_FILE, "has a num_attention_heads that is no multiple of num_key_value_heads")
    if read.head_dim % 2:
        raise checkpoint.wrong(_FILE, "has an odd head_dim")
    if read.mrope_section and sum(read.mrope_section) * 2 != read.head_dim:
        raise checkpoint.wrong(_FILE, f"has an mrope_section whose sum is not half of head_dim {read.head_dim}")
    return read


def vision_config(checkpoint: Checkpoint, family: str) -> VisionConfig:
    """The tower of qwen2_vl or qwen2_5_vl. Raises InvalidArgument for sizes that are missing or do not fit together."""
    given = _given(checkpoint.config.get("vision_config") or {})
    rope = given.get("rope_parameters", {})
    values = {"in_channels": given.get("in_chans", 3)} | _given({"rope_theta": rope.get("rope_theta")}) | given
    if family == "qwen2_vl":
        width = values.get("embed_dim", 1280)
        values |= {
            "gated": False,
            "width": width,
            "output": values.get("hidden_size"),
            "intermediate_size": width * values.get("mlp_ratio", 4),
            "hidden_act": values.get("hidden_act", "quick_gelu"),
        }
    else:
        windows = {"window_size": 112, "fullatt_block_indexes": (7, 15, 23, 31), "hidden_act": "silu"}
        width = values.get("hidden_size")
        values = windows | values | {"gated": True, "width": width, "output": values.get("out_hidden_size")}
    read = _read(VisionConfig, checkpoint, values)
    if read.width % (read.num_heads * 4):
        raise checkpoint.wrong(_FILE, "has a vision_config whose heads cannot be turned by rows and columns")
    if read.window == 0:
        raise checkpoint.wrong(_FILE, f"has a window_size below the {read.tile} pixels of a token")
    return read


Config = TypeVar("Config", bound=BaseModel)


def _read(kind: type[Config], checkpoint: Checkpoint, values: Mapping[str, Any]) -> Config:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fields = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        raise checkpoint.wrong(_FILE, f"has no usable {fields}") from error


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
