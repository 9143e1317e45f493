"""BERT encoders (Devlin et al. 2018): learned absolute positions, post-norm blocks, biases everywhere."""

from __future__ import annotations

import math

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from searchmesh.catalog import Card
from searchmesh.runtime.errors import Unimplemented
from searchmesh_export import keys, pooled
from searchmesh_export.activations import Activation, activation
from searchmesh_export.built import Built, Graph
from searchmesh_export.checkpoint import Checkpoint, Pooling
from searchmesh_export.tensors import Sizes

MASKED = -1e4
"""Added to the attention scores of padding. exp(-1e4) is 0 in every precision, and the sum with a score stays finite in
float16, so that a row of nothing but padding gives numbers, too."""


class BertConfig(BaseModel):
    """The part of config.json that shapes the encoder."""

    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    max_position_embeddings: int = Field(gt=0)
    type_vocab_size: int = Field(gt=0)
    layer_norm_eps: float = Field(gt=0)
    hidden_act: str
    position_embedding_type: str = "absolute"


class Bert(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask), both int64 [rows, length], to hidden states [rows, length, hidden_size].

    Every row has token type 0. A row's states do not depend on its padding or on other rows.
    """

    def __init__(self, config: BertConfig, activation: Activation) -> None:
        super().__init__()
        width = config.hidden_size
        self.words = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_position_embeddings, width)
        self.types = nn.Embedding(config.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.blocks = nn.ModuleList(Block(config, activation) for _ in range(config.num_hidden_layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        states = self.norm(self.words(input_ids) + self.positions(positions) + self.types.weight[0])
        bias = (1 - attention_mask)[:, None, None, :].to(states.dtype) * MASKED
        for block in self.blocks:
            states = block(states, bias)
        return states


class Block(nn.Module):  # type: ignore[misc]
    """Self-attention and a feed-forward layer, each followed by its residual and a norm."""

    def __init__(self, config: BertConfig, activation: Activation) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.activation = activation
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)
        self.mix_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.up = nn.Linear(width, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, width)
        self.down_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        mixed = self.mix(self._attend(states, bias))
        states = self.mix_norm(mixed + states)
        fed = self.down(self.activation(self.up(states)))
        return self.down_norm(fed + states)

    def _attend(self, states: Tensor, bias: Tensor) -> Tensor:
        rows, length, width = states.shape
        # Three products of their own instead of a fused one: with the transposition inside the split it was 5 % slower
        # on ONNX Runtime's CPU kernels (int8, 32 x 128 tokens).
        query, key, value = (
            linear(states).view(rows, length, self.heads, width // self.heads)
            for linear in (self.query, self.key, self.value)
        )
        scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1) / math.sqrt(width // self.heads)
        attended = torch.softmax(scores + bias, dim=-1) @ value.transpose(1, 2)
        return attended.transpose(1, 2).reshape(rows, length, width)


class BertEncoder(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask) to the pooled `sentence_embedding` and the states as they are, padding included."""

    def __init__(self, bert: Bert, pooling: Pooling) -> None:
        super().__init__()
        self.bert = bert
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        states = self.bert(input_ids, attention_mask)
        return pooled.sentence(states, attention_mask, self.pooling), states.float()


def build(checkpoint: Checkpoint, card: Card) -> Built:
    """An embedding model: see `searchmesh_export.families.Build`."""
    if card.kind != "embedding":
        raise Unimplemented(f"{card.name} is a {card.kind} model; of the family bert, embedding models can be exported")
    model, config = load_bert(checkpoint)
    pooling = checkpoint.pooling() or card.pooling
    limits = (config.max_position_embeddings, checkpoint.max_tokens() or card.max_tokens)
    width = config.hidden_size
    graph = Graph(
        module=BertEncoder(model, pooling).eval(),
        inputs=("input_ids", "attention_mask"),
        outputs=("sentence_embedding", "token_embeddings"),
        sizes=Sizes(vocabulary=config.vocab_size, sentence=width, token=width),
    )
    resolved = card.resolved(hidden_size=width, max_tokens=min(limits)).model_copy(update={"pooling": pooling})
    return Built(resolved, width, (graph,))


def load_bert(checkpoint: Checkpoint) -> tuple[Bert, BertConfig]:
    """The encoder with the checkpoint's weights. Raises InvalidArgument naming missing, extra or misshapen keys."""
    config = checkpoint.config_as(BertConfig)
    act = activation(checkpoint, config.hidden_act)
    if config.position_embedding_type != "absolute":
        raise checkpoint.wrong("config.json", f"has position_embedding_type {config.position_embedding_type!r}")
    if config.hidden_size % config.num_attention_heads:
        raise checkpoint.wrong("config.json", "has a hidden_size that is no multiple of num_attention_heads")
    weights = checkpoint.weights().renamed(_without_prefix)
    return keys.load(lambda: Bert(config, act), weights, _published), config


def _without_prefix(name: str) -> str | None:
    name = name.removeprefix("bert.")
    return None if name.startswith(_UNUSED) else name


_UNUSED = ("pooler.", "embeddings.position_ids")
"""Published, but no part of an embedding."""

_EMBEDDINGS = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
}
_BLOCK = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "mix_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "down_norm": "output.LayerNorm",
}


def _published(name: str) -> str:
    """The checkpoint's name of a weight of `Bert`."""
    match name.split("."):
        case ["blocks", layer, part, kind]:
            return f"encoder.layer.{layer}.{_BLOCK[part]}.{kind}"
        case [part, kind]:
            return f"{_EMBEDDINGS[part]}.{kind}"
    raise AssertionError(f"unreachable: {name} is no weight of Bert")
