"""The vision tower of EVA-02 (Fang et al. 2023, arXiv 2303.11331) that CLIP models use.

Pre-norm blocks with a norm before each projection out (sub-LN), SwiGLU, a class token, learned positions, and rotary
positions in two dimensions for the patches. Modules are named as the published weights are. Those turn neighbouring
numbers of a head together; here the rows of queries and keys are in another order, so that a pair has one number in
each half, and scores are the same.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

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
from searchmesh_export.keys import Made, Source
from searchmesh_export.rotary import Rotary, Rotation, frequencies, turned
from searchmesh_export.tensors import Sizes
from searchmesh_export.weights import Weights

PREFIX = "vision_model."

_EPS = 1e-6
_ANGLES_TOLERANCE = 1e-2
"""Of published cosines and sines, which may have been kept in bfloat16."""


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
    post_norm: Literal[False] = False
    rope_embeddings: Literal[True] = True
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
        # The class token, in front, has no place and is not turned.
        rotation = turned(functional.pad(angles(self.config), (0, 0, 1, 0))[None], states.dtype)
        for block in self.blocks:
            states = block(states, rotation)
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

    def forward(self, states: Tensor, rotation: Rotation) -> Tensor:
        states = states + self.attn(self.norm1(states), rotation)
        return states + self.mlp(self.norm2(states))


class Attention(nn.Module):  # type: ignore[misc]
    """Queries and values have a bias, keys have none."""

    def __init__(self, width: int, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.rotate = Rotary()
        self.attend = MaskedAttention()
        self.inner_attn_ln = nn.LayerNorm(width, eps=_EPS)
        self.proj = nn.Linear(width, width)

    def forward(self, states: Tensor, rotation: Rotation) -> Tensor:
        query, key, value = (
            project(states).unflatten(2, (-1, self.head_width)) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = self.attend(self.rotate(query, rotation), self.rotate(key, rotation), value)
        return self.proj(self.inner_attn_ln(attended))


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


def angles(config: EvaConfig) -> Tensor:
    """Of each pair of numbers in a head [patches, head width / 2]: rows turn the first half, columns the second."""
    places = torch.arange(config.side).float()
    if config.intp_freq:
        places = places / config.side * config.pt_hw_seq_len
    along = places[:, None] * frequencies(config.rope_theta, config.head_width // 2)
    rows = along[:, None].expand(-1, config.side, -1)
    columns = along[None].expand(config.side, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def vision_graph(checkpoint: Checkpoint, weights: Weights, card: Card) -> tuple[Graph, Image]:
    """The tower's graph and the card's section of a checkpoint that has the tower under `PREFIX`.

    Raises InvalidArgument naming keys and fields that do not fit, and rotary angles that are published and differ.
    """
    if card.image is None:
        raise Unimplemented(f"the card of {card.name} has no section image")
    config = checkpoint.config_as(EvaConfig, "vision_config")
    tower = weights.renamed(lambda name: name.removeprefix(PREFIX) if name.startswith(PREFIX) else None)
    _check_angles(checkpoint, tower, config)
    weights = tower.renamed(lambda name: None if "rope." in name else name)
    module = keys.load(lambda: Eva(config), weights, partial(_published, config.head_width))
    graph = Graph(
        module,
        inputs=("pixel_values",),
        outputs=("sentence_embedding",),
        sizes=Sizes(sentence=config.width, side=config.image_size),
        suffix=VISION,
    )
    return graph, card.image.model_copy(update={"size": config.image_size, "patch": config.patch_size})


def _published(head_width: int, name: str) -> Source:
    """Where a weight of `Eva` comes from."""
    match name.split("."):
        case [*_, ("q_proj" | "k_proj"), "weight"]:
            return Made(partial(_in_halves, head_width), (name,))
        case [*block, "q_proj", "bias"]:
            return Made(partial(_in_halves, head_width), (".".join([*block, "q_bias"]),))
        case [*block, "v_proj", "bias"]:
            return ".".join([*block, "v_bias"])
    return name


def _in_halves(head_width: int, rows: Tensor) -> Tensor:
    """Within each head the even rows first, then the odd ones."""
    return rows.unflatten(0, (-1, head_width // 2, 2)).transpose(1, 2).flatten(0, 2)


def _check_angles(checkpoint: Checkpoint, tower: Weights, config: EvaConfig) -> None:
    turns = angles(config).repeat_interleave(2, dim=1)
    for name, own in {"rope.freqs_cos": turns.cos(), "rope.freqs_sin": turns.sin()}.items():
        if name not in tower:
            continue
        published = tower.read(name)
        if published.shape != own.shape or (published - own).abs().max() > _ANGLES_TOLERANCE:
            raise checkpoint.wrong(
                "model.safetensors", f"has {PREFIX}{name} that are not those of config.json's vision_config"
            )
