"""EVA-02 as its paper and its published code describe it, step by step and unbatched: to compare graphs with."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

HEAD = 16
PRETRAINED_SIDE = 16


def angle(position: float, pair: int) -> float:
    """Of a pair of numbers of one half of a head at a (scaled) row or column."""
    return position / 10_000.0 ** (2 * pair / (HEAD // 2))


def turned(vector: Tensor, row: float, column: float) -> Tensor:
    """One head of one patch: the first half by its row, the second by its column, neighbours together."""
    out = vector.clone()
    for half, position in enumerate((row, column)):
        for pair in range(HEAD // 4):
            at = half * HEAD // 2 + 2 * pair
            turn = angle(position, pair)
            x, y = vector[at].item(), vector[at + 1].item()
            out[at] = x * math.cos(turn) - y * math.sin(turn)
            out[at + 1] = y * math.cos(turn) + x * math.sin(turn)
    return out


def norm(weights: Mapping[str, Tensor], name: str, states: Tensor) -> Tensor:
    return functional.layer_norm(states, states.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)


def linear(weights: Mapping[str, Tensor], name: str, states: Tensor) -> Tensor:
    return functional.linear(states, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def attention(weights: Mapping[str, Tensor], name: str, states: Tensor, side: int) -> Tensor:
    query = linear(weights, f"{name}.q_proj", states) + weights[f"{name}.q_bias"]
    key = linear(weights, f"{name}.k_proj", states)
    value = linear(weights, f"{name}.v_proj", states) + weights[f"{name}.v_bias"]
    heads = []
    for start in range(0, states.shape[1], HEAD):
        q, k = query[:, start : start + HEAD].clone(), key[:, start : start + HEAD].clone()
        for patch in range(side * side):
            row, column = (place / side * PRETRAINED_SIDE for place in divmod(patch, side))
            q[1 + patch], k[1 + patch] = turned(q[1 + patch], row, column), turned(k[1 + patch], row, column)
        scores = torch.softmax(q @ k.T / math.sqrt(HEAD), dim=-1)
        heads.append(scores @ value[:, start : start + HEAD])
    return linear(weights, f"{name}.proj", norm(weights, f"{name}.inner_attn_ln", torch.cat(heads, dim=1)))


def feed_forward(weights: Mapping[str, Tensor], name: str, states: Tensor) -> Tensor:
    gate = functional.silu(linear(weights, f"{name}.w1", states))
    return linear(weights, f"{name}.w3", norm(weights, f"{name}.ffn_ln", gate * linear(weights, f"{name}.w2", states)))


def embedded(weights: Mapping[str, Tensor], pixels: Tensor, patch: int) -> Tensor:
    """The class token behind the last norm, of pixels [3, side, side]."""
    kernel, bias = weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"]
    side = pixels.shape[1] // patch
    rows = [weights["cls_token"][0, 0]]
    for row in range(side):
        for column in range(side):
            square = pixels[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            rows.append((kernel * square).sum(dim=(1, 2, 3)) + bias)
    states = torch.stack(rows) + weights["pos_embed"][0]
    block = 0
    while f"blocks.{block}.norm1.weight" in weights:
        name = f"blocks.{block}"
        states = states + attention(weights, f"{name}.attn", norm(weights, f"{name}.norm1", states), side)
        states = states + feed_forward(weights, f"{name}.mlp", norm(weights, f"{name}.norm2", states))
        block += 1
    return norm(weights, "norm", states)[0]
