"""XLM-RoBERTa encoders (Conneau et al. 2020) with learned absolute positions or with rotary ones.

Post-norm blocks with biases everywhere. The rotary kin (jina-embeddings-v3, arXiv 2409.10173) turns queries and keys in
halves (RoFormer, arXiv 2104.09864) and may have adapters on every weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from searchmesh_export.activations import Activation
from searchmesh_export.adapters import Embedding, Linear
from searchmesh_export.attention import MaskedAttention
from searchmesh_export.parts import FeedForward, Fork
from searchmesh_export.rotary import Rotary, Rotation, frequencies, turned
from searchmesh_export.xlm_config import SPECIAL_POSITIONS, XlmConfig


class XlmEncoder(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask), both int64 [rows, length], to hidden states [rows, length, hidden_size].

    Every row has token type 0. `gates` (`searchmesh_export.adapters`) exactly if there are ranks.
    """

    def __init__(self, config: XlmConfig, activation: Activation, *, ranks: int = 0) -> None:
        super().__init__()
        width = config.hidden_size
        self.words = Embedding(config.vocab_size, width, ranks=ranks)
        self.types = Embedding(config.type_vocab_size, width, ranks=ranks)
        self.rotary = config.position_embedding_type == "rotary"
        self.base = config.rotary_emb_base
        self.size = width // config.num_attention_heads
        if not self.rotary:
            self.positions = nn.Embedding(config.max_position_embeddings, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.blocks = nn.ModuleList(Block(config, activation, ranks) for _ in range(config.num_hidden_layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, gates: Tensor | None = None) -> Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        vectors = self.words(input_ids, gates) + self.types(torch.zeros_like(input_ids[:, :1]), gates)
        if not self.rotary:
            vectors = vectors + self.positions(places + SPECIAL_POSITIONS)
        states = self.norm(vectors)
        rotation = None
        if self.rotary:
            rotation = turned(places[None, :, None] * frequencies(self.base, self.size), states.dtype)
        for block in self.blocks:
            states = block(states, attention_mask, rotation, gates)
        return states


class Block(nn.Module):  # type: ignore[misc]
    """Self-attention and a feed-forward layer, each followed by its residual and a norm."""

    def __init__(self, config: XlmConfig, activation: Activation, ranks: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.qkv = Fork(width, 3 * width, parts=3, ranks=ranks)
        self.rotate = Rotary()
        self.attend = MaskedAttention()
        self.mix = Linear(width, width, ranks=ranks)
        self.mix_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.feed = FeedForward(width, config.intermediate_size, activation, ranks=ranks)
        self.feed_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, mask: Tensor, rotation: Rotation | None, gates: Tensor | None) -> Tensor:
        states = self.mix_norm(self.mix(self._attend(states, mask, rotation, gates), gates) + states)
        return self.feed_norm(self.feed(states, gates) + states)

    def _attend(self, states: Tensor, mask: Tensor, rotation: Rotation | None, gates: Tensor | None) -> Tensor:
        query, key, value = (part.unflatten(2, (self.heads, -1)) for part in self.qkv(states, gates))
        if rotation is not None:
            query, key = self.rotate(query, rotation), self.rotate(key, rotation)
        attended: Tensor = self.attend(query, key, value, mask)
        return attended
