"""Graphs for tests of the exporter that need no checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from searchmesh.catalog.repository import VISION
from searchmesh_export.built import Graph
from searchmesh_export.pooled import of_spans, picked, sentence
from searchmesh_export.tensors import Sizes

TEXT_INPUTS = (
    "input_ids", "attention_mask", "adapter", "spans", "position_ids", "image_features", "image_index", "picks",
)  # fmt: skip
TEXT_OUTPUTS = ("sentence_embedding", "span_embeddings", "token_embeddings", "picked_embeddings", "logit")
WIDTH, VALUES, GROUP, MERGED = 32, 24, 8, 4


class EveryInput(nn.Module):  # type: ignore[misc]
    """Uses every input that a text graph can have, and gives every output."""

    def __init__(self, vocabulary: int = 400, adapters: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, WIDTH)
        self.tasks = nn.Embedding(adapters + 1, WIDTH)
        self.mix = nn.Linear(WIDTH, 2 * WIDTH)
        self.score = nn.Linear(2 * WIDTH, 1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        adapter: Tensor,
        spans: Tensor,
        position_ids: Tensor,
        image_features: Tensor,
        image_index: Tensor,
        picks: Tensor,
    ) -> tuple[Tensor, ...]:
        words = self.words(input_ids)
        images = picked(image_features.to(words.dtype), image_index.clamp(min=0))
        states = torch.where((image_index >= 0)[:, :, None], images, words) + self.tasks(adapter + 1)
        states = self.mix(states + torch.sin(position_ids.sum(dim=1)[:, :, None].to(words.dtype)))
        outputs = (
            sentence(states, attention_mask, "mean"),
            of_spans(states, spans),
            states.float(),
            picked(states, picks).float(),
            self.score(states[:, 0]).float(),
        )
        return self.finish(outputs)

    def finish(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """For tests to spoil them."""
        return outputs


class Patches(nn.Module):  # type: ignore[misc]
    """Means of groups of patches, with their places."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(VALUES, WIDTH)

    def forward(self, patches: Tensor, patch_mask: Tensor, patch_positions: Tensor) -> tuple[Tensor]:
        states = self.embed(patches.to(self.embed.weight.dtype))
        states = (states + patch_positions.sum(dim=-1, keepdim=True)) * patch_mask[:, :, None]
        rows, slots, width = states.shape
        return (states.view(rows, slots // MERGED, MERGED, width).mean(dim=2).float(),)


def text_graph(module: nn.Module | None = None) -> Graph:
    """All inputs and outputs of text."""
    sizes = Sizes(vocabulary=400, adapters=2, sentence=2 * WIDTH, token=2 * WIDTH, picked=2 * WIDTH, hidden=WIDTH)
    return Graph((module or EveryInput()).eval(), TEXT_INPUTS, TEXT_OUTPUTS, sizes)


def vision_graph() -> Graph:
    """A graph whose images have any size."""
    sizes = Sizes(hidden=WIDTH, values=VALUES, slot_group=GROUP, merged=MERGED)
    inputs = ("patches", "patch_mask", "patch_positions")
    return Graph(Patches().eval(), inputs, ("image_features",), sizes, suffix=VISION)
