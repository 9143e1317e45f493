"""Collections: what documents are kept and found in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from searchmesh.client import words
from searchmesh.v1 import router_pb2


@dataclass(frozen=True)
class VectorSpace:
    """One way of embedding the documents of a collection."""

    name: str = "text"
    embedder: str = ""
    """Empty: the embedding service's default model."""
    dimensions: int = 0
    """0: the model's own size."""


@dataclass(frozen=True)
class Collection:
    """A collection as the router knows it."""

    name: str
    spaces: tuple[VectorSpace, ...]
    reranker: str
    """Model of searches that name none; empty: no reranking unless asked for."""
    language: str
    filter_fields: Mapping[str, words.FilterType]
    document_count: int
    create_time: datetime

    @classmethod
    def from_proto(cls, message: router_pb2.Collection) -> Collection:
        """From the wire."""
        return cls(
            name=message.name,
            spaces=tuple(VectorSpace(space.name, space.embedder, space.dimensions) for space in message.spaces),
            reranker=message.reranker,
            language=message.language,
            filter_fields={
                field.name: "number" if field.type == router_pb2.FILTER_TYPE_NUMBER else "tag"
                for field in message.filter_fields
            },
            document_count=message.document_count,
            create_time=message.create_time.ToDatetime(UTC),
        )


def create_request(
    name: str,
    spaces: Sequence[VectorSpace],
    reranker: str,
    language: str,
    filter_fields: Mapping[str, words.FilterType],
) -> router_pb2.CreateCollectionRequest:
    """For the wire. Raises InvalidArgument for a filter type that is not known."""
    return router_pb2.CreateCollectionRequest(
        collection=router_pb2.Collection(
            name=name,
            spaces=[
                router_pb2.VectorSpace(name=space.name, embedder=space.embedder, dimensions=space.dimensions)
                for space in spaces
            ],
            reranker=reranker,
            language=language,
            filter_fields=[
                router_pb2.FilterField(
                    name=field, type=words.value_of(f"filter_fields.{field}", kind, words.FILTER_TYPES)
                )
                for field, kind in filter_fields.items()
            ],
        )
    )
