"""The card of a model: everything about it that a service or an exporter would otherwise hard-code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, model_validator

from searchmesh.catalog.sections import (
    Adapters,
    Checkpoint,
    Generation,
    HubSource,
    Image,
    Listing,
    MultiVector,
    Pair,
    Score,
    Section,
    Task,
    WheelSource,
)

Kind = Literal["embedding", "multi_vector", "reranker", "reranker_listwise", "generation"]


_NEEDED: dict[Kind, tuple[str, ...]] = {
    "embedding": (),
    "multi_vector": ("multi_vector", "score"),
    "reranker": ("pair", "score"),
    "reranker_listwise": ("listing", "score"),
    "generation": ("generation",),
}
"""Sections without which a model of the kind cannot be served."""


class Card(Section):
    """One model. Frozen; a fact that only the checkpoint can tell is named in `from_checkpoint` and has no value here.

    The card of an exported model is `resolved`: its sizes and limits are then those of the exported checkpoint.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    kind: Kind
    modalities: tuple[Literal["text", "image"], ...] = Field(min_length=1)
    licence: str
    source: HubSource | WheelSource
    params: int | None = None
    """Number of weights."""
    dimensions: tuple[int, ...] = ()
    """Sizes of a single vector that were trained (Matryoshka), ascending; the last is the model's own."""
    max_tokens: int = Field(gt=0)
    """Longest sequence, special tokens and prefixes included."""
    tasks: Mapping[str, Task] = {}
    default_task: str | None = None
    """Task of a request that names none. None: base weights and no prefix."""
    query_task: str | None = None
    """Task of a search query."""
    passage_task: str | None = None
    """Task of a text that is indexed for search."""
    pooling: Literal["mean", "cls", "last"] = "mean"
    image_pooling: str | None = None
    normalize: bool = True
    """Single vectors have unit length; a slice is normalised again."""
    late_chunking: bool = False
    multi_vector: MultiVector | None = None
    adapters: Adapters | None = None
    score: Score | None = None
    """How the model ranks, if it does; `kind` says which of `multi_vector`, `pair` and `listing` it reads."""
    pair: Pair | None = None
    listing: Listing | None = None
    generation: Generation | None = None
    image: Image | None = None
    checkpoint: Checkpoint
    from_checkpoint: tuple[str, ...] = ()
    """Facts that are read from the checkpoint's own files."""
    unsettled: tuple[str, ...] = ()
    """Facts that sources disagree on and no file of the checkpoint settles: make them settings."""

    @model_validator(mode="after")
    def _is_coherent(self) -> Card:
        problems = list(self._problems())
        if problems:
            raise ValueError(f"card {self.name}: " + "; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        for field in ("default_task", "query_task", "passage_task"):
            task = getattr(self, field)
            if task is not None and task not in self.tasks:
                yield f"{field} {task!r} is not among the tasks"
        adapters = len(self.adapters.names) if self.adapters else 0
        for name, task in self.tasks.items():
            if task.adapter is not None and task.adapter >= adapters:
                yield f"task {name!r} wants adapter {task.adapter} of {adapters}"
        if tuple(sorted(set(self.dimensions))) != self.dimensions:
            yield "dimensions must ascend"
        if (self.kind == "embedding") != bool(self.dimensions):
            yield "an embedding model, and no other, has dimensions"
        for section in _NEEDED[self.kind]:
            if getattr(self, section) is None:
                yield f"a {self.kind} model needs the section {section}"
        reads = {"late_interaction": self.multi_vector, "pairwise": self.pair, "listwise": self.listing}
        if self.score is not None and reads[self.score.kind] is None:
            yield f"score {self.score.kind} has nothing to read"
        if ("image" in self.modalities) != (self.image is not None):
            yield "the section image goes with the modality"

    def resolved(self, *, hidden_size: int, max_tokens: int | None) -> Card:
        """The card of a checkpoint of this architecture with its own width and, if known, its own longest sequence.

        Sizes above the width go, and the width itself becomes the last; limits only shrink.
        """
        update: dict[str, object] = {}
        if self.dimensions:
            update["dimensions"] = _up_to(self.dimensions, hidden_size)
        if self.multi_vector is not None and self.multi_vector.dimensions == self.dimensions:
            update["multi_vector"] = self.multi_vector.model_copy(update={"dimensions": update["dimensions"]})
        if max_tokens is not None:
            update["max_tokens"] = min(self.max_tokens, max_tokens)
        return self.model_copy(update=update)


def _up_to(sizes: tuple[int, ...], width: int) -> tuple[int, ...]:
    return (*(size for size in sizes if size < width), width)
