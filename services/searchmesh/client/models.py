"""What a service says of the models it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from searchmesh.v1 import models_pb2

ServiceName = Literal["router", "embedding", "reranker", "reader", "vlm"]


@dataclass(frozen=True)
class Model:
    """A model that a service can use."""

    name: str
    kind: str
    modalities: tuple[str, ...]
    dimensions: tuple[int, ...]
    """Sizes that may be asked for, ascending; the last is the model's own."""
    max_tokens: int
    tasks: tuple[str, ...]
    licence: str
    multi_vector: bool
    """Token vectors are to be had."""
    ready: bool
    """The inference backend has it loaded."""
    is_default: bool

    @classmethod
    def from_proto(cls, message: models_pb2.Model) -> Model:
        """From the wire."""
        return cls(
            name=message.name,
            kind=message.kind,
            modalities=tuple(message.modalities),
            dimensions=tuple(message.dimensions),
            max_tokens=message.max_tokens,
            tasks=tuple(message.tasks),
            licence=message.licence,
            multi_vector=message.multi_vector,
            ready=message.ready,
            is_default=message.is_default,
        )
