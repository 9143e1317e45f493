"""Qwen2-VL and Qwen2.5-VL: a decoder that reads texts with images in them, and the tower that sees the images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from searchmesh.catalog import Card
from searchmesh.catalog.repository import VISION
from searchmesh.runtime.errors import Unimplemented
from searchmesh_export import keys, pooled
from searchmesh_export.activations import activation
from searchmesh_export.adapters import Linear, gates
from searchmesh_export.built import Built, Graph
from searchmesh_export.checkpoint import Checkpoint
from searchmesh_export.keys import Made, Source
from searchmesh_export.qwen import decoder, longest, published
from searchmesh_export.qwen_config import TextConfig, VisionConfig, text_config, vision_config
from searchmesh_export.qwen_decoder import Decoder
from searchmesh_export.qwen_images import image_section
from searchmesh_export.qwen_keys import VISUAL, TaskAdapters, of_text, of_vision
from searchmesh_export.qwen_vision import VisionTower
from searchmesh_export.tensors import Sizes


class Embedder(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask, adapter, spans, position_ids, image_features, image_index) to (`sentence_embedding`,
    `span_embeddings`, `token_embeddings`).

    The sentence is span 0. Token vectors have unit length and are zero for padding. Without tasks, weights are as they
    are and `adapter` is not read.
    """

    def __init__(self, decoder: Decoder, width: int, output: int, *, tasks: int, rank: int) -> None:
        super().__init__()
        self.tasks = tasks
        self.rank = rank
        self.decoder = decoder
        self.multi_vector_projector = Linear(width, output, ranks=tasks * rank)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        adapter: Tensor,
        spans: Tensor,
        position_ids: Tensor,
        image_features: Tensor,
        image_index: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        vectors = illustrated(self.decoder.embed(input_ids, attention_mask), image_features, image_index)
        open_gates = gates(adapter, self.tasks, self.rank, vectors.dtype) if self.tasks else None
        states = self.decoder(vectors, self.decoder.placed(position_ids), open_gates)
        of_spans = pooled.of_spans(states, spans)
        tokens = pooled.unit(self.multi_vector_projector(states, open_gates))
        return of_spans[:, 0], of_spans, tokens * attention_mask[:, :, None]


class PairRanker(nn.Module):  # type: ignore[misc]
    """(input_ids, attention_mask, position_ids, image_features, image_index) to `logit`, from the last real token."""

    def __init__(self, decoder: Decoder, width: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        image_features: Tensor,
        image_index: Tensor,
    ) -> tuple[Tensor]:
        vectors = illustrated(self.decoder.embed(input_ids, attention_mask), image_features, image_index)
        states = self.decoder(vectors, self.decoder.placed(position_ids))
        return (self.score(pooled.last(states, attention_mask)).float(),)


def illustrated(vectors: Tensor, features: Tensor, index: Tensor) -> Tensor:
    """Token vectors [rows, length, width] with image features [rows, features, width], of which there may be none, in
    the places where `index` [rows, length] is not -1."""
    rows, count, width = features.shape
    # One vector more in front, for the text tokens to point at.
    table = torch.cat([features.new_zeros(1, width), features.flatten(0, 1)]).to(vectors.dtype)
    first = torch.arange(rows, device=index.device)[:, None] * count + 1
    image = index >= 0
    seen = table[torch.where(image, first + index, 0)]
    return torch.where(image[:, :, None], seen, vectors)


def build(checkpoint: Checkpoint, card: Card) -> Built:
    """An embedding model or a reranker of pairs: see `searchmesh_export.families.Build`."""
    match card.kind:
        case "embedding":
            text, card = _embedder(checkpoint, card)
        case "reranker":
            text, card = _pair_ranker(checkpoint, card)
        case _:
            raise Unimplemented(
                f"{card.name} is a {card.kind} model; Qwen-VL can be exported as an embedder or a reranker of pairs"
            )
    config = vision_config(checkpoint, card.checkpoint.text.family)
    width = text.sizes.hidden
    if config.output != width:
        raise checkpoint.wrong(
            "config.json", f"has a vision tower that gives {config.output} numbers instead of {width}"
        )
    card = card.model_copy(update={"image": image_section(checkpoint, card, config)})
    return Built(card, width, (text, _vision(checkpoint, config)))


_TEXT = ("input_ids", "attention_mask")
_IMAGES = ("position_ids", "image_features", "image_index")


def _text_config(checkpoint: Checkpoint) -> TextConfig:
    config = text_config(checkpoint)
    if not config.mrope_section:
        raise checkpoint.wrong("config.json", "has no mrope_section")
    return config


def _embedder(checkpoint: Checkpoint, card: Card) -> tuple[Graph, Card]:
    if card.adapters is None or card.multi_vector is None:
        raise Unimplemented(f"{card.name} has no adapters or no multi-vectors")
    config = _text_config(checkpoint)
    adapters = TaskAdapters.of(checkpoint, card.adapters.names)
    weights = checkpoint.weights().renamed(of_text) | adapters.weights
    head = "multi_vector_projector.weight"
    output = weights.shape(head)[0] if head in weights else card.multi_vector.dimensions[-1]
    width, tasks = config.hidden_size, len(adapters.tasks)

    def module() -> nn.Module:
        inner = decoder(checkpoint, card, config, ranks=adapters.ranks)
        return Embedder(inner, width, output, tasks=tasks, rank=adapters.config.r)

    graph = Graph(
        keys.load(module, weights, lambda name: adapters.source(published(name))),
        inputs=(*_TEXT, "adapter", "spans", *_IMAGES),
        outputs=("sentence_embedding", "span_embeddings", "token_embeddings"),
        sizes=Sizes(vocabulary=config.vocab_size, adapters=tasks, sentence=width, token=output, hidden=width),
    )
    multi_vector = card.multi_vector.model_copy(update={"dimensions": (output,)})
    resolved = card.resolved(hidden_size=width, max_tokens=longest(checkpoint, config, card))
    return graph, resolved.model_copy(update={"multi_vector": multi_vector})


def _pair_ranker(checkpoint: Checkpoint, card: Card) -> tuple[Graph, Card]:
    config = _text_config(checkpoint)
    width = config.hidden_size
    module = keys.load(
        lambda: PairRanker(decoder(checkpoint, card, config), width), checkpoint.weights().renamed(of_text), published
    )
    sizes = Sizes(vocabulary=config.vocab_size, hidden=width)
    graph = Graph(module, inputs=(*_TEXT, *_IMAGES), outputs=("logit",), sizes=sizes)
    return graph, card.resolved(hidden_size=width, max_tokens=longest(checkpoint, config, card))


def _vision(checkpoint: Checkpoint, config: VisionConfig) -> Graph:
    act = activation(checkpoint, config.hidden_act)
    module = keys.load(lambda: VisionTower(config, act), checkpoint.weights().renamed(of_vision), _seen)
    return Graph(
        module,
        inputs=("patches", "patch_mask", "patch_positions"),
        outputs=("image_features",),
        sizes=Sizes(hidden=config.output, values=config.values, slot_group=config.slot_group, merged=config.merged),
        suffix=VISION,
    )


def _seen(name: str) -> Source:
    """Published names are those of the tower; its convolution is flattened to a matrix."""
    key = VISUAL + name
    return Made(lambda kernel: kernel.flatten(1), (key,)) if name == "patch_embed.proj.weight" else key
