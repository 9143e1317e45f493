"""Models on an XLM-RoBERTa encoder: embedders with adapters, late interaction, CLIP, and rerankers of pairs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from searchmesh.catalog import Card, TokenVectorRules
from searchmesh.runtime.errors import Unimplemented
from searchmesh_export import keys, pooled
from searchmesh_export.activations import activation
from searchmesh_export.adapters import gates
from searchmesh_export.built import Built, Graph
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.eva import PREFIX as EVA_PREFIX
from searchmesh_export.eva import vision_graph
from searchmesh_export.tensors import Sizes
from searchmesh_export.xlm_config import XlmConfig, adapter_order, clip_config, xlm_config
from searchmesh_export.xlm_encoder import XlmEncoder
from searchmesh_export.xlm_keys import CLIP_PREFIX, Names, within, without_prefix


class AdaptedEmbedder(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask, adapter, spans) to (`sentence_embedding`, `span_embeddings`): span 0, and all."""

    def __init__(self, encoder: XlmEncoder, adapters: int, rank: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.adapters = adapters
        self.rank = rank

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, adapter: Tensor, spans: Tensor
    ) -> tuple[Tensor, Tensor]:
        open_gates = gates(adapter, self.adapters, self.rank, self.encoder.words.weight.dtype)
        of_spans = pooled.of_spans(self.encoder(input_ids, attention_mask, open_gates), spans)
        return of_spans[:, 0], of_spans


class MeanEmbedder(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask) to `sentence_embedding`."""

    def __init__(self, encoder: XlmEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        return (pooled.sentence(self.encoder(input_ids, attention_mask), attention_mask, "mean"),)


class TokenEmbedder(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask) to `token_embeddings` of unit length, behind a projection; zero for padding."""

    def __init__(self, encoder: XlmEncoder, width: int, output: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(width, output, bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        tokens = pooled.unit(self.linear(self.encoder(input_ids, attention_mask)))
        return (tokens * attention_mask[:, :, None],)


class Classifier(nn.Module):  # type: ignore[misc]
    """The state of the first token to one number. Named as the published weights are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, 1)

    def forward(self, states: Tensor) -> Tensor:
        return self.out_proj(torch.tanh(self.dense(states[:, 0]))).float()


class PairRanker(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask) to `logit`."""

    def __init__(self, encoder: XlmEncoder, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = Classifier(width)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor]:
        return (self.classifier(self.encoder(input_ids, attention_mask)),)


_PLAIN = ("input_ids", "attention_mask")


def build(checkpoint: Checkpoint, card: Card) -> Built:
    """See `searchmesh_export.families.Build`."""
    match card.kind:
        case "embedding" if card.image is not None:
            return _clip(checkpoint, card)
        case "embedding":
            return _adapted(checkpoint, card)
        case "multi_vector":
            return _tokens(checkpoint, card)
        case "reranker":
            return _pairs(checkpoint, card)
    raise Unimplemented(f"{card.name} is a {card.kind} model, which no XLM-RoBERTa encoder is")


def _encoder(checkpoint: Checkpoint, config: XlmConfig, *, ranks: int = 0) -> XlmEncoder:
    return XlmEncoder(config, activation(checkpoint, config.hidden_act), ranks=ranks)


def _adapted(checkpoint: Checkpoint, card: Card) -> Built:
    if card.adapters is None:
        raise Unimplemented(f"the card of {card.name} has no section adapters")
    config = xlm_config(checkpoint, card)
    order = adapter_order(checkpoint, config, card.adapters.names)
    adapters, rank = len(order), config.lora_rank
    module = keys.load(
        lambda: AdaptedEmbedder(_encoder(checkpoint, config, ranks=adapters * rank), adapters, rank),
        checkpoint.weights().renamed(without_prefix),
        within("encoder.", Names(order, config.scaling)),
    )
    width = config.hidden_size
    graph = Graph(
        module,
        inputs=(*_PLAIN, "adapter", "spans"),
        outputs=("sentence_embedding", "span_embeddings"),
        sizes=Sizes(vocabulary=config.vocab_size, adapters=adapters, sentence=width),
    )
    return Built(card.resolved(hidden_size=width, max_tokens=config.longest), width, (graph,))


def _clip(checkpoint: Checkpoint, card: Card) -> Built:
    if card.adapters is None or card.adapters.always_on is None:
        raise Unimplemented(f"the card of {card.name} has no adapter that is always on")
    weights = checkpoint.weights()
    known = (CLIP_PREFIX, EVA_PREFIX, "logit_scale")
    if unknown := [name for name in weights if not name.startswith(known)]:
        raise weights.wrong(f"has unknown {keys.listed(unknown)}")
    text = weights.renamed(lambda name: without_prefix(own) if (own := _after(CLIP_PREFIX, name)) else None)
    config = clip_config(checkpoint, text)
    order = adapter_order(checkpoint, config, [card.adapters.names[card.adapters.always_on]])
    module = keys.load(
        lambda: MeanEmbedder(_encoder(checkpoint, config)),
        text,
        within("encoder.", Names(order, config.scaling, merged=True)),
    )
    width = config.hidden_size
    graph = Graph(
        module,
        inputs=_PLAIN,
        outputs=("sentence_embedding",),
        sizes=Sizes(vocabulary=config.vocab_size, sentence=width),
    )
    vision, image = vision_graph(checkpoint, weights, card)
    if vision.sizes.sentence != width:
        raise checkpoint.wrong("config.json", f"has texts of {width} dimensions and images of {vision.sizes.sentence}")
    resolved = card.resolved(hidden_size=width, max_tokens=config.longest).model_copy(update={"image": image})
    return Built(resolved, width, (graph, vision))


def _after(prefix: str, name: str) -> str | None:
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def _tokens(checkpoint: Checkpoint, card: Card) -> Built:
    if card.multi_vector is None:
        raise Unimplemented(f"the card of {card.name} has no section multi_vector")
    config = xlm_config(checkpoint, card)
    weights = checkpoint.weights().renamed(without_prefix)
    width = config.hidden_size
    output = weights.shape("linear.weight")[0] if "linear.weight" in weights else card.multi_vector.dimensions[-1]
    graph = Graph(
        keys.load(
            lambda: TokenEmbedder(_encoder(checkpoint, config), width, output), weights, within("encoder.", Names())
        ),
        inputs=_PLAIN,
        outputs=("token_embeddings",),
        sizes=Sizes(vocabulary=config.vocab_size, token=output),
    )
    own = card.multi_vector
    update = {
        "dimensions": (*(size for size in own.dimensions if size < output), output),
        "query": _rules(checkpoint, own.query, config.vocab_size),
        "document": _rules(checkpoint, own.document, config.vocab_size),
    }
    multi_vector = own.model_copy(update=update)
    resolved = card.resolved(hidden_size=width, max_tokens=config.longest)
    return Built(resolved.model_copy(update={"multi_vector": multi_vector}), width, (graph,))


def _rules(checkpoint: Checkpoint, rules: TokenVectorRules, vocabulary: int) -> TokenVectorRules:
    """With the ids of this checkpoint: tokenizer.json's, or for a token that is not in it the published one."""
    tokenizer = checkpoint.tokenizer()

    def known(token: str | None, published: int | None) -> int | None:
        found = tokenizer.token_to_id(token) if token else None
        own: int | None = published if found is None else found
        if own is not None and own >= vocabulary:
            raise checkpoint.wrong("tokenizer.json", f"has no {token}, and {own} is beyond the {vocabulary} embeddings")
        return own

    marker = rules.marker and rules.marker.model_copy(update={"id": known(rules.marker.token, rules.marker.id)})
    return rules.model_copy(update={"marker": marker, "pad_id": known(rules.pad_token, rules.pad_id)})


def _pairs(checkpoint: Checkpoint, card: Card) -> Built:
    config = xlm_config(checkpoint, card)
    width = config.hidden_size
    graph = Graph(
        keys.load(
            lambda: PairRanker(_encoder(checkpoint, config), width),
            checkpoint.weights().renamed(without_prefix),
            within("encoder.", Names()),
        ),
        inputs=_PLAIN,
        outputs=("logit",),
        sizes=Sizes(vocabulary=config.vocab_size),
    )
    return Built(card.resolved(hidden_size=width, max_tokens=config.longest), width, (graph,))
