"""Qwen2 and Qwen3 decoders that embed a text, or rank passages by the states of chosen tokens."""

from __future__ import annotations

from torch import Tensor, nn

from searchmesh.catalog import Card
from searchmesh.runtime.errors import Unimplemented
from searchmesh_export import keys, pooled
from searchmesh_export.activations import activation
from searchmesh_export.built import Built, Graph
from searchmesh_export.checkpoint import Checkpoint, Pooling
from searchmesh_export.qwen_config import TextConfig, text_config
from searchmesh_export.qwen_decoder import Decoder
from searchmesh_export.qwen_keys import of_text
from searchmesh_export.tensors import Sizes


class Embedder(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask) to `sentence_embedding`."""

    def __init__(self, decoder: Decoder, pooling: Pooling) -> None:
        super().__init__()
        self.decoder = decoder
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        states = self.decoder(self.decoder.embed(input_ids, attention_mask), self.decoder.along(input_ids))
        return (pooled.sentence(states, attention_mask, self.pooling),)


class ListRanker(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask, picks) to `picked_embeddings`: the states of chosen tokens behind a projector."""

    def __init__(self, decoder: Decoder, width: int, output: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.projector = nn.Sequential(
            nn.Linear(width, output, bias=False), nn.ReLU(), nn.Linear(output, output, bias=False)
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor, picks: Tensor) -> tuple[Tensor]:
        states = self.decoder(self.decoder.embed(input_ids, attention_mask), self.decoder.along(input_ids))
        return (self.projector(pooled.picked(states, picks)).float(),)


def build(checkpoint: Checkpoint, card: Card) -> Built:
    """An embedding model or a listwise reranker: see `searchmesh_export.families.Build`."""
    match card.kind:
        case "embedding":
            return _embedder(checkpoint, card)
        case "reranker_listwise":
            return _list_ranker(checkpoint, card)
    raise Unimplemented(
        f"{card.name} is a {card.kind} model; Qwen decoders can be exported as embedding models or listwise rerankers"
    )


def decoder(checkpoint: Checkpoint, card: Card, config: TextConfig, *, ranks: int = 0) -> Decoder:
    """A decoder without its weights, with `ranks` of adapters in all."""
    tower = card.checkpoint.text
    return Decoder(
        config,
        activation(checkpoint, config.hidden_act),
        bias=tower.bias != "none",
        qk_norm=tower.qk_norm,
        ranks=ranks,
    )


def longest(checkpoint: Checkpoint, config: TextConfig, card: Card) -> int:
    """The longest sequence that the folder allows."""
    return min(config.max_position_embeddings, checkpoint.max_tokens() or card.max_tokens)


def published(name: str) -> str:
    """The name, in `qwen_keys.of_text`, of a weight of a module that has a `decoder` and heads."""
    return name.removeprefix("decoder.")


def _embedder(checkpoint: Checkpoint, card: Card) -> Built:
    config = text_config(checkpoint)
    pooling = checkpoint.pooling() or card.pooling
    module = keys.load(
        lambda: Embedder(decoder(checkpoint, card, config), pooling), checkpoint.weights().renamed(of_text), published
    )
    width = config.hidden_size
    graph = Graph(
        module,
        inputs=("input_ids", "attention_mask"),
        outputs=("sentence_embedding",),
        sizes=Sizes(vocabulary=config.vocab_size, sentence=width),
    )
    resolved = card.resolved(hidden_size=width, max_tokens=longest(checkpoint, config, card))
    return Built(resolved.model_copy(update={"pooling": pooling}), width, (graph,))


def _list_ranker(checkpoint: Checkpoint, card: Card) -> Built:
    if card.listing is None:
        raise Unimplemented(f"the card of {card.name} has no section listing")
    config = text_config(checkpoint)
    weights = checkpoint.weights().renamed(of_text)
    last = "projector.2.weight"
    output = weights.shape(last)[0] if last in weights else card.listing.document_dimensions
    width = config.hidden_size
    graph = Graph(
        keys.load(lambda: ListRanker(decoder(checkpoint, card, config), width, output), weights, published),
        inputs=("input_ids", "attention_mask", "picks"),
        outputs=("picked_embeddings",),
        sizes=Sizes(vocabulary=config.vocab_size, picked=output),
    )
    listing = card.listing.model_copy(update={"document_dimensions": output})
    resolved = card.resolved(hidden_size=width, max_tokens=longest(checkpoint, config, card))
    return Built(resolved.model_copy(update={"listing": listing}), width, (graph,))
