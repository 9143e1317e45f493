"""What a caller wants of a list of inputs, and what that means for one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from searchmesh.batching import Lane
from searchmesh.cache import KeySpace
from searchmesh.catalog import Task
from searchmesh.encoding import NO_TASK, Encoder, Output
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.text import Chunking, Truncation

Input: TypeAlias = str | bytes
"""A text, or an image file."""


@dataclass(frozen=True)
class Chunks:
    """Late chunking: a vector per chunk of each text."""

    chunking: Chunking
    marks: Sequence[bytes]
    """What of the request decides the chunks of each input, for the cache."""


@dataclass(frozen=True)
class Ask:
    """What is wanted, as the caller said it."""

    model: str = ""
    task: str = ""
    dimensions: int = 0
    output: Output = Output.SENTENCE
    truncation: Truncation = Truncation.REFUSE
    lane: Lane = Lane.INTERACTIVE
    bypass_cache: bool = False
    chunks: Chunks | None = None


@dataclass(frozen=True)
class Resolved:
    """An ask that the model can fulfil."""

    encoder: Encoder
    ask: Ask
    task: Task
    dimensions: int

    def keys(self, inputs: Sequence[Input]) -> list[bytes]:
        """The cache's key of each input."""
        marks = self.ask.chunks.marks if self.ask.chunks else [b""] * len(inputs)
        texts, images = (self._space(f"{self.ask.output.value} of {kind}") for kind in ("text", "image"))
        return [
            images.key(content) if isinstance(content, bytes) else texts.key(_marked(mark, content.encode()))
            for content, mark in zip(inputs, marks, strict=True)
        ]

    def _space(self, output: str) -> KeySpace:
        vision = self.encoder.vision
        return KeySpace(
            model_digest=self.encoder.model.model_digest,
            tokenizer_digest=self.encoder.model.tokenizer_digest,
            task=self.ask.task or self.encoder.card.default_task or "",
            output=f"{output}, {vision.max_pixels} pixels" if vision else output,
            truncation=self.ask.truncation.value,
        )


def _marked(mark: bytes, content: bytes) -> bytes:
    # The length keeps a mark and the text behind it apart.
    return len(mark).to_bytes(4, "little") + mark + content


def resolve(encoder: Encoder, inputs: Sequence[object], ask: Ask) -> Resolved:
    """The ask in terms of the model. Raises InvalidArgument for what the model cannot do, naming the field."""
    _check_modalities(encoder, inputs)
    _check_chunks(encoder, inputs, ask)
    return Resolved(encoder, ask, _task(encoder, ask.task), _dimensions(encoder, ask))


def _check_modalities(encoder: Encoder, inputs: Sequence[object]) -> None:
    if encoder.vision is None:
        for position, content in enumerate(inputs):
            if not isinstance(content, str):
                raise InvalidArgument(f"inputs[{position}].image", f"{encoder.card.name} reads no images")


def _check_chunks(encoder: Encoder, inputs: Sequence[object], ask: Ask) -> None:
    if ask.chunks is None:
        return
    if Output.SPANS.value not in encoder.model.outputs:
        raise InvalidArgument("chunking", f"{encoder.card.name} has no late chunking")
    if ask.output is Output.TOKENS:
        raise InvalidArgument("chunking", "goes with one vector per chunk, not with multi_vector")
    if ask.truncation is not Truncation.REFUSE:
        raise InvalidArgument("truncation", "would lose chunks; it is REFUSE with chunking")
    for position, content in enumerate(inputs):
        if not isinstance(content, str):
            raise InvalidArgument(f"inputs[{position}].image", "has no chunks")


def _task(encoder: Encoder, name: str) -> Task:
    tasks = encoder.card.tasks
    name = name or encoder.card.default_task or ""
    if name and name not in tasks:
        known = ", ".join(tasks) or "none"
        raise InvalidArgument("task", f"{encoder.card.name} has no task {name!r}; its tasks: {known}")
    return tasks[name] if name else NO_TASK


def _dimensions(encoder: Encoder, ask: Ask) -> int:
    card = encoder.card
    multi = ask.output is Output.TOKENS
    if multi and card.multi_vector is None:
        raise InvalidArgument("multi_vector", f"{card.name} has no token vectors")
    if not multi and not card.dimensions:
        raise InvalidArgument("multi_vector", f"must be set: {card.name} has token vectors only")
    sizes = card.multi_vector.dimensions if multi and card.multi_vector else card.dimensions
    if ask.dimensions and ask.dimensions not in sizes:
        raise InvalidArgument(
            "dimensions", f"{card.name} has {', '.join(map(str, sizes))}; {ask.dimensions} is none of them"
        )
    return ask.dimensions or sizes[-1]
