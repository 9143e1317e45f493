"""The decoder of Qwen2, Qwen3, Qwen2-VL and Qwen2.5-VL as an encoder of tokens: no cache, no head.

Pre-norm blocks of grouped-query attention and a gated feed-forward layer, RMSNorm, rotary positions in halves (Qwen2,
arXiv 2407.10671; Qwen3, arXiv 2505.09388, norms queries and keys; M-RoPE: Qwen2-VL, arXiv 2409.12191). Modules are
named as the published weights are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from searchmesh_export.activations import Activation
from searchmesh_export.adapters import Linear
from searchmesh_export.attention import CausalAttention
from searchmesh_export.qwen_config import TextConfig
from searchmesh_export.rotary import Rotary, Rotation, frequencies, turned


class RmsNorm(nn.Module):  # type: ignore[misc]
    """Root mean square norm (arXiv 1910.07467), computed in float32, given in the precision of the weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, states: Tensor) -> Tensor:
        states = states.float()
        # A division by a root, which ONNX Runtime takes for the norm that it is; rsqrt it does not.
        unit = states / torch.sqrt(states.pow(2).mean(dim=-1, keepdim=True) + self.eps)
        return (unit * self.weight.float()).to(self.weight.dtype)


class Decoder(nn.Module):  # type: ignore[misc]
    """Token vectors to the states behind the last norm, both [rows, length, width]; padding is on the right.

    What a block adds up is float32 in a half-precision graph, too: a few of these numbers grow beyond the range of
    float16.
    """

    def __init__(
        self, config: TextConfig, activation: Activation, *, bias: bool, qk_norm: bool, ranks: int = 0
    ) -> None:
        """`bias` of queries, keys and values; `ranks` of the adapters of every linear layer, in all."""
        super().__init__()
        self.size = config.head_dim
        self.theta = config.rope_theta
        self.sections = config.mrope_section
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Block(config, activation, bias=bias, qk_norm=qk_norm, ranks=ranks) for _ in range(config.num_hidden_layers)
        )
        self.norm = RmsNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, vectors: Tensor, rotation: Rotation, gates: Tensor | None = None) -> Tensor:
        """`gates` (`searchmesh_export.adapters`) exactly if there are ranks."""
        states = vectors.float()
        for layer in self.layers:
            states = layer(states, rotation, gates)
        return self.norm(states)

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token vectors, zero for padding."""
        vectors = self.embed_tokens(input_ids)
        return vectors * attention_mask[:, :, None].to(vectors.dtype)

    def along(self, input_ids: Tensor) -> Rotation:
        """Tokens stand one behind the other."""
        return self._turned(torch.arange(input_ids.shape[1], device=input_ids.device)[None, :, None])

    def placed(self, position_ids: Tensor) -> Rotation:
        """Tokens have three positions [rows, 3, length]; sections of the frequencies take turns among them."""
        positions = position_ids.transpose(1, 2)
        each = (positions[:, :, axis % 3, None].expand(-1, -1, size) for axis, size in enumerate(self.sections))
        return self._turned(torch.cat(tuple(each), dim=2))

    def _turned(self, positions: Tensor) -> Rotation:
        """Of positions [rows or 1, length, head size / 2 or 1]."""
        return turned(positions.float() * frequencies(self.theta, self.size), self.embed_tokens.weight.dtype)


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a feed-forward layer, each behind a norm and added to what there was."""

    def __init__(self, config: TextConfig, activation: Activation, *, bias: bool, qk_norm: bool, ranks: int) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = SelfAttention(config, bias=bias, qk_norm=qk_norm, ranks=ranks)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = Gated(config.hidden_size, config.intermediate_size, activation, ranks=ranks)

    def forward(self, states: Tensor, rotation: Rotation, gates: Tensor | None) -> Tensor:
        states = states + self.self_attn(self.input_layernorm(states), rotation, gates).float()
        return states + self.mlp(self.post_attention_layernorm(states), gates).float()


class SelfAttention(nn.Module):  # type: ignore[misc]
    """Causal attention with fewer heads of keys and values than of queries."""

    def __init__(self, config: TextConfig, *, bias: bool, qk_norm: bool, ranks: int) -> None:
        super().__init__()
        self.size = config.head_dim
        width = config.hidden_size
        queries, groups = config.num_attention_heads * self.size, config.num_key_value_heads * self.size
        self.q_proj = Linear(width, queries, bias=bias, ranks=ranks)
        self.k_proj = Linear(width, groups, bias=bias, ranks=ranks)
        self.v_proj = Linear(width, groups, bias=bias, ranks=ranks)
        self.o_proj = Linear(queries, width, bias=False, ranks=ranks)
        self.q_norm = RmsNorm(self.size, config.rms_norm_eps) if qk_norm else nn.Identity()
        self.k_norm = RmsNorm(self.size, config.rms_norm_eps) if qk_norm else nn.Identity()
        self.rotate = Rotary()
        self.attend = CausalAttention()

    def forward(self, states: Tensor, rotation: Rotation, gates: Tensor | None) -> Tensor:
        query, key, value = (
            project(states, gates).unflatten(2, (-1, self.size)) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = self.rotate(self.q_norm(query), rotation), self.rotate(self.k_norm(key), rotation)
        return self.o_proj(self.attend(query, key, value), gates)


class Gated(nn.Module):  # type: ignore[misc]
    """down(activation(gate(x)) · up(x)) (arXiv 2002.05202)."""

    def __init__(
        self, width: int, intermediate: int, activation: Activation, *, bias: bool = False, ranks: int = 0
    ) -> None:
        super().__init__()
        self.activation = activation
        self.gate_proj = Linear(width, intermediate, bias=bias, ranks=ranks)
        self.up_proj = Linear(width, intermediate, bias=bias, ranks=ranks)
        self.down_proj = Linear(intermediate, width, bias=bias, ranks=ranks)

    def forward(self, states: Tensor, gates: Tensor | None = None) -> Tensor:
        return self.down_proj(self.activation(self.gate_proj(states, gates)) * self.up_proj(states, gates), gates)
