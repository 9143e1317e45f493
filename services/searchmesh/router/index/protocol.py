"""What the router wants of an index, and nothing more: any engine with vectors, BM25 and filters can give it.

Ids of documents, field names and all texts are the users' and may hold anything; keeping them from being read as
syntax is the engine's part. Names of collections are letters, digits, ``_`` and ``-``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from searchmesh.router.index.filters import Filter

Vector: TypeAlias = NDArray[np.float32]
"""One embedding, float32 [dimensions]."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class FieldType(StrEnum):
    """What a filter field holds."""

    TAG = "tag"
    """An exact string, or a list of them."""

    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class FilterField:
    """A metadata field that filters may use."""

    name: str
    type: FieldType


@dataclass(frozen=True, slots=True)
class Space:
    """One way of embedding the documents of a collection. Vectors are compared by cosine."""

    name: str
    embedder: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Collection:
    """The definition of a collection. It never changes; to change it, delete it and index again."""

    name: str
    spaces: tuple[Space, ...]
    language: str
    filter_fields: tuple[FilterField, ...] = ()
    reranker: str = ""
    created_at: float = 0.0
    """Seconds since the epoch."""

    uid: str = ""
    """Tells this collection from earlier and later ones of the same name."""

    @property
    def fields(self) -> dict[str, FieldType]:
        """Types of the filter fields by name."""
        return {field.name: field.type for field in self.filter_fields}


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its owner sent it."""

    id: str
    title: str = ""
    text: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A document with what the index needs besides it. Metadata that is filtered on has been checked."""

    document: Document
    content_hash: bytes
    """Of everything the record was made from: the same hash means nothing to do."""

    vectors: Mapping[str, Vector]
    """One for each space of the collection."""


class Match(NamedTuple):
    """A document that a retriever found. Higher scores are better; they compare within one answer only."""

    id: str
    score: float


class Index(Protocol):
    """An engine. All of it raises IndexUnavailable if the engine cannot be reached in time.

    What takes a `Collection` raises NotFound if that very collection (by `uid`) is no more. Filters have been checked
    against the collection's fields.
    """

    @property
    def languages(self) -> frozenset[str]:
        """Languages whose texts can be analysed for lexical search."""
        ...

    async def open(self) -> None:
        """Return when the engine answers and has all that is needed; tidies up what an earlier process left."""
        ...

    async def create_collection(self, collection: Collection) -> None:
        """Raises AlreadyExists if there is one of that name."""
        ...

    async def get_collection(self, name: str) -> Collection:
        """Raises NotFound."""
        ...

    async def list_collections(self) -> list[Collection]:
        """All, by name."""
        ...

    async def delete_collection(self, collection: Collection) -> int:
        """Delete it with its documents; how many there were."""
        ...

    async def count(self, collection: Collection) -> int:
        """How many documents it has."""
        ...

    async def upsert(self, collection: Collection, records: Sequence[Record]) -> None:
        """Add the records, or put them in place of those with the same ids. What is written is found at once."""
        ...

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """Delete documents; how many there were."""
        ...

    async def fetch(self, collection: Collection, ids: Sequence[str]) -> list[Document | None]:
        """The documents, in the order of `ids`; None for those that are not there."""
        ...

    async def content_hashes(self, collection: Collection, ids: Sequence[str]) -> list[bytes | None]:
        """The hashes that the records were written with, in the order of `ids`."""
        ...

    async def dense(
        self, collection: Collection, space: str, vector: Vector, k: int, filter: Filter | None = None
    ) -> list[Match]:
        """Up to `k` approximate nearest neighbours, best first; the score is the cosine."""
        ...

    async def lexical(self, collection: Collection, query: str, k: int, filter: Filter | None = None) -> list[Match]:
        """Up to `k` documents with at least one term of the query, best first; the score is BM25, above 0.

        Empty if nothing of the query is left by the analysis.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
