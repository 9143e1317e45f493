"""Sizes of jina-vlm from config.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from searchmesh_export.checkpoint import Checkpoint


class NormConfig(BaseModel):
    """``lnorm_config``."""

    eps: float | None = Field(None, gt=0)

    @property
    def epsilon(self) -> float:
        """1e-5 where none is given."""
        return 1e-5 if self.eps is None else self.eps


class AttentionConfig(BaseModel):
    """``attn_config`` or ``attn_pooling_config``."""

    n_heads: int = Field(gt=0)
    n_kv_heads: int | None = Field(None, gt=0)
    """None: as many as of queries."""
    head_dim: int | None = Field(None, gt=0)
    """None: what divides the width among the heads."""
    sliding_window: Literal[-1] = -1
    softmax_scale: None = None
    clip_qkv: None = None


class FeedForwardConfig(BaseModel):
    """``ffn_config``; its sizes are those of its tensors."""

    activation_type: str = "silu"


class BlockConfig(BaseModel):
    """``block_config``."""

    attn_config: AttentionConfig
    ffn_config: FeedForwardConfig = FeedForwardConfig()
    lnorm_config: NormConfig = NormConfig(eps=None)
    postnorm: Literal[False] = False


class ConnectorConfig(BaseModel):
    """``vl_connector_config``."""

    attn_pooling_config: AttentionConfig
    padding_embed_type: Literal["pad_and_partial_pad"]
    pooling_type: Literal["attention_meanq"]
    projector_type: Literal["mlp"] = "mlp"
    pooling_h: int = Field(2, gt=0)
    pooling_w: int = Field(2, gt=0)


class VisionConfig(BaseModel):
    """``vision_config``."""

    block_config: BlockConfig
    vl_connector_config: ConnectorConfig
    hidden_size: int = Field(gt=0)
    n_layers: int = Field(gt=0)
    input_size: tuple[int, int]
    """Height and width of a crop in pixels."""
    patch_size: int = Field(14, gt=0)
    n_channels: int = Field(3, gt=0)
    vit_layers: tuple[int, ...] = Field((-1,), min_length=1)
    """Places in the list of the layers' outputs, which ends with that of the final norm."""
    output_size: int = Field(gt=0)
    linear_patch_embedding: Literal[True] = True
    use_cls_token: Literal[False]
    pre_lnorm: Literal[False] = False
    post_lnorm: bool = True

    @property
    def side(self) -> int:
        """Patches along each side of a crop."""
        return self.input_size[0] // self.patch_size


class TextConfig(BaseModel):
    """``text_config``."""

    block_config: BlockConfig
    hidden_size: int = Field(gt=0)
    n_layers: int = Field(gt=0)
    rope: Literal[True] = True
    rope_theta: float = Field(1e6, gt=0)
    rope_scaling: None = None
    partial_rotary_factor: float = Field(1.0, ge=1, le=1)
    max_sequence_length: int = Field(gt=0)
    normalize_input_embeds: Literal[False] = False


def vision_config(checkpoint: Checkpoint) -> VisionConfig:
    """Raises InvalidArgument for sizes that are missing or do not fit together, or what the graph does not have."""
    config = checkpoint.config_as(VisionConfig, "vision_config")
    height, width = config.input_size
    if height != width or height % config.patch_size:
        raise checkpoint.wrong("config.json", f"has crops of {height} x {width} pixels, not a square of whole patches")
    if config.vl_connector_config.pooling_h != config.vl_connector_config.pooling_w:
        raise checkpoint.wrong("config.json", "has a pooling_h that is not pooling_w")
    outputs = config.n_layers + config.post_lnorm
    if any(not -outputs <= layer < outputs for layer in config.vit_layers):
        raise checkpoint.wrong("config.json", f"has vit_layers beyond the {outputs} outputs of its layers")
    return config


def text_config(checkpoint: Checkpoint) -> TextConfig:
    """Raises InvalidArgument for sizes that are missing, or what the decoder does not have."""
    return checkpoint.config_as(TextConfig, "text_config")


def taken(config: VisionConfig) -> tuple[int, ...]:
    """The 0-based layers that `vit_layers` mean; ``n_layers`` stands for the output of the final norm."""
    outputs = config.n_layers + config.post_lnorm
    return tuple(layer % outputs for layer in config.vit_layers)
