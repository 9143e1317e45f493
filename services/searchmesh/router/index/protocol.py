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


class SpaceName(StrEnum):
    """What of a document a vector space embeds."""

    TEXT = "text"
    """Title and text."""

    CODE = "code"
    """Title and text, by a model (or a task of one) that was trained on code."""

    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Space:
    """One way of embedding the documents of a collection. Vectors are compared by cosine.

    A document has a vector in those spaces that it has something for: without an image none of `SpaceName.IMAGE`.
    """

    name: str
    embedder: str
    dimensions: int
    modalities: frozenset[str] = frozenset({"text"})
    """What the embedder reads: queries of these kinds can be compared with the space's vectors."""


class TokenDtype(StrEnum):
    """How the numbers of token vectors are stored; see searchmesh.v1.DType."""

    INT8 = "int8"
    """A byte for each dimension."""

    BINARY = "binary"
    """A bit for each dimension, rows padded to whole bytes."""


@dataclass(frozen=True, slots=True)
class MultiVectors:
    """Token vectors that are stored with each document, for reranking by late interaction. No search goes over them."""

    embedder: str
    dimensions: int
    dtype: TokenDtype = TokenDtype.INT8
    modalities: frozenset[str] = frozenset({"text"})
    """What the embedder reads."""

    @property
    def row_bytes(self) -> int:
        """Of one token vector."""
        return self.dimensions if self.dtype is TokenDtype.INT8 else -(-self.dimensions // 8)


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

    multi_vectors: MultiVectors | None = None

    @property
    def fields(self) -> dict[str, FieldType]:
        """Types of the filter fields by name."""
        return {field.name: field.type for field in self.filter_fields}


@dataclass(frozen=True, slots=True)
class Image:
    """An image, unread: the bytes of a file, or where they are."""

    data: bytes = b""
    url: str = ""
    unfetched: int = 0
    """Size of the data where it was left in the index, in bytes."""


Content: TypeAlias = str | Image
"""What a model reads."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its owner sent it."""

    id: str
    title: str = ""
    text: str = ""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    image: Image | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A document with what the index needs besides it. Metadata that is filtered on has been checked."""

    document: Document
    content_hash: bytes
    """Of everything the record was made from: the same hash means nothing to do."""

    vectors: Mapping[str, Vector]
    """By the names of the collection's spaces. A document has none for a space that it has nothing to embed for."""

    token_vectors: bytes = b""
    """Rows of the collection's `MultiVectors`, one below the other. Empty if it has none, or nothing to embed."""


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
        """The documents, in the order of `ids`; None for those that are not there. Data of images is left out."""
        ...

    async def image_data(self, collection: Collection, ids: Sequence[str]) -> list[bytes | None]:
        """What `fetch` left out, in the order of `ids`; None where there is no such document or data."""
        ...

    async def token_vectors(self, collection: Collection, ids: Sequence[str]) -> list[bytes | None]:
        """The token vectors of the records, in the order of `ids`; None for documents without."""
        ...

    async def content_hashes(self, collection: Collection, ids: Sequence[str]) -> list[bytes | None]:
        """The hashes that the records were written with, in the order of `ids`."""
        ...

    async def dense(
        self, collection: Collection, space: str, vector: Vector, k: int, filter: Filter | None = None
    ) -> list[Match]:
        """Up to `k` approximate nearest neighbours among those with a vector; best first, the score is the cosine."""
        ...

    async def lexical(self, collection: Collection, query: str, k: int, filter: Filter | None = None) -> list[Match]:
        """Up to `k` documents with at least one term of the query, best first; the score is BM25, above 0.

        Empty if nothing of the query is left by the analysis.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
