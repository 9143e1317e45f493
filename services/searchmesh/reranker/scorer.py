"""How a model ranks: one interface, a strategy for each way of scoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from searchmesh.encoding import Context, Vectors
from searchmesh.reranker.stored import StoredVectors
from searchmesh.text import Truncation
from searchmesh.v1 import common_pb2

Content: TypeAlias = str | common_pb2.Image


@dataclass(frozen=True)
class Ask:
    """One query and the documents to be scored against it."""

    query: Content
    documents: Sequence[Content]
    """Empty if `stored` takes their place."""
    truncation: Truncation
    """Of documents; a query that is too long loses its end."""
    context: Context
    instruction: str = ""
    stored: StoredVectors | None = None

    @property
    def texts(self) -> list[str]:
        """The query and the documents, for models that read no images."""
        return [content for content in (self.query, *self.documents) if isinstance(content, str)]


@dataclass(frozen=True, slots=True)
class Read:
    """What the model read of an input."""

    tokens: int
    """For models that read query and document together, those of the input alone, each once."""
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer says of one document."""

    score: float
    read: Read
    vectors: Vectors | None = None
    """[n, dimensions], unit length, if the model has any."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a scorer says of all."""

    query: Read
    documents: Sequence[Scored]
    """In the order of the request."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a way of scoring takes and gives beside texts and scores."""

    images: bool = False
    instruction: bool = False
    vectors: Literal["none", "one", "tokens"] = "none"
    """Of each document: one, or one a token, which a request may then bring as well."""


class Scorer(Protocol):
    """Scores of documents against one query; higher is more relevant, the scale is the model's."""

    @property
    def abilities(self) -> Abilities:
        """An `Ask` has nothing that is not among them."""

    async def score(self, ask: Ask) -> Scores:
        """Raises InvalidArgument, naming `query`, `documents` or `instruction`, for what is too long; and what
        `Encoder.run` and `ImageReader.seen` raise.
        """
        ...
