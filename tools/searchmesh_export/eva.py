"""The vision tower of EVA-02 (Fang et al. 2023, arXiv 2303.11331) that CLIP models use.

Pre-norm blocks with a norm before each projection out (sub-LN), SwiGLU, a class token, learned positions, and rotary
positions in two dimensions for the patches. Modules are named as the published weights are.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional

from searchmesh.catalog import Card, Image
from searchmesh.catalog.repository import VISION
from searchmesh.runtime.errors import Unimplemented
from searchmesh_export import keys, pooled
from searchmesh_export.attention import MaskedAttention
from searchmesh_export.built import Graph
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.tensors import Sizes
from searchmesh_export.weights import Weights

PREFIX = "vision_model."

_EPS = 1e-6
_ANGLES_TOLERANCE = 1e-3
"""Of published cosines and sines, which may have been kept in half precision."""


class EvaConfig(BaseModel):
    """The part of config.json that shapes the tower."""

    image_size: int = Field(gt=0)
    patch_size: int = Field(gt=0)
    width: int = Field(gt=0)
    layers: int = Field(gt=0)
    head_width: int = Field(gt=0, multiple_of=4)
    mlp_ratio: float = Field(gt=0)
    pt_hw_seq_len: int = Field(16, gt=0)
    """Patches along each side in pre-training, whose positions the rotary ones are counted in."""
    intp_freq: bool = True
    """Positions are scaled to the range of pre-training."""
    rope_theta: float = Field(10_000.0, gt=0)

    @property
    def side(self) -> int:
        """Patches along each side of an image."""
        return self.image_size // self.patch_size


class Eva(nn.Module):  # type: ignore[misc]
    """pixel_values [rows, 3, side, side] to `sentence_embedding`: the class token behind the last norm."""

    def __init__(self, config: EvaConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, config.patch_size, config.patch_size)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, config.side**2 + 1, width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor]:
        pixels = pixel_values.to(self.pos_embed.dtype)
        patches = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2)
        first = self.cls_token.expand(pixels.shape[0], -1, -1)
        states = torch.cat([first, patches], dim=1) + self.pos_embed
        mask = torch.ones_like(states[:, :, 0])
        cosines, sines = (part.to(states.dtype) for part in angles(self.config))
        for block in self.blocks:
            states = block(states, mask, cosines, sines)
        return (pooled.unit(self.norm(states[:, 0])),)


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a gated feed-forward layer, each behind a norm and beside a residual."""

    def __init__(self, config: EvaConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = Attention(width, config.head_width)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = SwiGlu(width, int(width * config.mlp_ratio))

    def forward(self, states: Tensor, mask: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        states = states + self.attn(self.norm1(states), mask, cosines, sines)
        return states + self.mlp(self.norm2(states))


class Attention(nn.Module):  # type: ignore[misc]
    """Queries and values have a bias, keys have none; patches are turned, the class token is not."""

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.q_bias = nn.Parameter(torch.empty(width))
        self.v_bias = nn.Parameter(torch.empty(width))
        self.attention = MaskedAttention()
        self.inner_attn_ln = nn.LayerNorm(width, eps=_EPS)
        self.proj = nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        rows, length, width = states.shape
        query, key, value = (
            part.view(rows, length, width // self.head_width, self.head_width)
            for part in (self.q_proj(states) + self.q_bias, self.k_proj(states), self.v_proj(states) + self.v_bias)
        )
        query, key = _turned(query, cosines, sines), _turned(key, cosines, sines)
        return self.proj(self.inner_attn_ln(self.attention(query, key, value, mask)))


class SwiGlu(nn.Module):  # type: ignore[misc]
    """w3(norm(silu(w1 x) · w2 x))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden)
        self.w2 = nn.Linear(width, hidden)
        self.ffn_ln = nn.LayerNorm(hidden, eps=_EPS)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, states: Tensor) -> Tensor:
        return self.w3(self.ffn_ln(functional.silu(self.w1(states)) * self.w2(states)))


def angles(config: EvaConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines [patches, head width]: rows turn the first half of a head, columns the second, pairs of
    neighbouring numbers share an angle.
    """
    quarter = config.head_width // 4
    frequencies = config.rope_theta ** (-torch.arange(quarter) / quarter)
    places = torch.arange(config.side).float()
    if config.intp_freq:
        places = places / config.side * config.pt_hw_seq_len
    along = (places[:, None] * frequencies).repeat_interleave(2, dim=1)
    rows = along[:, None].expand(-1, config.side, -1)
    columns = along[None].expand(config.side, -1, -1)
    turns = torch.cat([rows, columns], dim=-1).flatten(0, 1)
    return turns.cos(), turns.sin()


def _turned(states: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """States [rows, 1 + patches, heads, size]."""
    first, patches = states[:, :1], states[:, 1:]
    pairs = patches.unflatten(-1, (-1, 2))
    across = torch.stack([-pairs[..., 1], pairs[..., 0]], dim=-1).flatten(-2)
    return torch.cat([first, patches * cosines[:, None] + across * sines[:, None]], dim=1)


def vision_graph(checkpoint: Checkpoint, weights: Weights, card: Card) -> tuple[Graph, Image]:
    """The tower's graph and the card's section of a checkpoint that has the tower under `PREFIX`.

    Raises InvalidArgument naming keys and fields that do not fit, and rotary angles that are published and differ.
    """
    if card.image is None:
        raise Unimplemented(f"the card of {card.name} has no section image")
    config = checkpoint.config_as(EvaConfig, "vision_config")
    tower = weights.renamed(lambda name: name.removeprefix(PREFIX) if name.startswith(PREFIX) else None)
    _check_angles(checkpoint, tower, config)
    module = keys.load(lambda: Eva(config), tower.renamed(lambda name: None if "rope." in name else name), str)
    graph = Graph(
        module,
        inputs=("pixel_values",),
        outputs=("sentence_embedding",),
        sizes=Sizes(sentence=config.width, side=config.image_size),
        suffix=VISION,
    )
    return graph, card.image.model_copy(update={"size": config.image_size, "patch": config.patch_size})


def _check_angles(checkpoint: Checkpoint, tower: Weights, config: EvaConfig) -> None:
    for name, own in zip(("rope.freqs_cos", "rope.freqs_sin"), angles(config), strict=True):
        if name not in tower:
            continue
        published = tower.read(name)
        if published.shape != own.shape or (published - own).abs().max() > _ANGLES_TOLERANCE:
            raise checkpoint.wrong(
                "model.safetensors", f"has {PREFIX}{name} that are not those of config.json's vision_config"
            )
