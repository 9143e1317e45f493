"""Collections: what documents are kept and found in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from searchmesh.client import words
from searchmesh.v1 import common_pb2, router_pb2


@dataclass(frozen=True)
class VectorSpace:
    """One way of embedding the documents of a collection."""

    name: str = "text"
    """What of a document it embeds: ``text`` (title and text), ``code`` (the same, by a model for it) or ``image``."""
    embedder: str = ""
    """Empty: the embedding service's default model."""
    dimensions: int = 0
    """0: the model's own size."""


@dataclass(frozen=True)
class MultiVectors:
    """Token vectors that are stored with each document, for reranking by late interaction."""

    embedder: str
    """A model with token vectors; they are of use to searches that are reranked by it."""
    dimensions: int = 0
    """0: the model's own size."""
    dtype: words.DType = "int8"
    """``int8``, or ``binary``, an eighth of it."""

    @classmethod
    def from_proto(cls, message: router_pb2.MultiVectors) -> MultiVectors:
        """From the wire."""
        dtype: words.DType = "binary" if message.dtype == common_pb2.DTYPE_BINARY else "int8"
        return cls(message.embedder, message.dimensions, dtype)

    def to_proto(self) -> router_pb2.MultiVectors:
        """For the wire. Raises InvalidArgument for a type that is not known."""
        dtype = words.value_of("multi_vectors.dtype", self.dtype, words.DTYPES)
        return router_pb2.MultiVectors(embedder=self.embedder, dimensions=self.dimensions, dtype=dtype)


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
    multi_vectors: MultiVectors | None = None

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
            multi_vectors=(
                MultiVectors.from_proto(message.multi_vectors) if message.HasField("multi_vectors") else None
            ),
        )


def create_request(
    name: str,
    spaces: Sequence[VectorSpace],
    reranker: str,
    language: str,
    filter_fields: Mapping[str, words.FilterType],
    multi_vectors: MultiVectors | None,
) -> router_pb2.CreateCollectionRequest:
    """For the wire. Raises InvalidArgument for a type that is not known."""
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
            multi_vectors=multi_vectors.to_proto() if multi_vectors else None,
        )
    )
