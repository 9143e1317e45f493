"""The vectors of documents: in each space of their collection that they have something for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from searchmesh.router.documents import embedded, readable
from searchmesh.router.index import Collection, Content, Document, Image, MultiVectors, Space, Vector
from searchmesh.router.patience import patiently
from searchmesh.router.ports import Embedder
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, SearchmeshError

V = TypeVar("V")


@dataclass(slots=True)
class Vectors:
    """Of one document."""

    by_space: dict[str, Vector] = field(default_factory=dict)
    tokens: bytes = b""
    truncated: bool = False
    """Some model did not read all of the text."""


Made: TypeAlias = tuple[V, bool]
"""What came of one content, and whether the content was cut."""

Embed: TypeAlias = Callable[[Sequence[Content]], Awaitable[list[Made[V]]]]


class Vectoriser:
    """Has documents embedded, as bulk work."""

    def __init__(self, embedder: Embedder, *, timeout_s: float, patience_s: float) -> None:
        self._embedder = embedder
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    async def vectors(self, collection: Collection, documents: Sequence[Document]) -> list[Vectors | SearchmeshError]:
        """The vectors of each document, or why there are none. Raises Unavailable after `patience_s` without a service,
        FailedPrecondition if a model is not what it was when the collection was made.
        """
        made: list[Vectors | SearchmeshError] = [Vectors() for _ in documents]
        for space in collection.spaces:
            contents = [embedded(document, space) for document in documents]
            for vectors, (vector, cut) in await self._add(made, contents, self._in_space(space)):
                vectors.by_space[space.name] = vector
                vectors.truncated |= cut
        if (multi := collection.multi_vectors) is not None:
            contents = [readable(document, multi.modalities) for document in documents]
            for vectors, (tokens, cut) in await self._add(made, contents, self._of_tokens(multi)):
                vectors.tokens = tokens
                vectors.truncated |= cut
        return made

    async def _add(
        self, made: list[Vectors | SearchmeshError], contents: Sequence[Content | None], embed: Embed[V]
    ) -> list[tuple[Vectors, Made[V]]]:
        """What was made of the contents, beside the vectors of their documents. A document that failed stays failed."""
        asked = [
            (number, content)
            for number, content in enumerate(contents)
            if content is not None and isinstance(made[number], Vectors)
        ]
        added = []
        answers = await self._one_by_one([content for _, content in asked], embed)
        for (number, _), answer in zip(asked, answers, strict=True):
            vectors = made[number]
            if isinstance(answer, SearchmeshError):
                made[number] = answer
            elif isinstance(vectors, Vectors):
                added.append((vectors, answer))
        return added

    async def _one_by_one(self, contents: Sequence[Content], embed: Embed[V]) -> list[Made[V] | SearchmeshError]:
        """An answer or an error for each content, though one bad content spoils a whole request."""
        if not contents:
            return []
        try:
            return [*await patiently(lambda: embed(contents), self._patience_s)]
        except InvalidArgument as error:
            if not error.field.startswith("inputs"):
                raise FailedPrecondition(f"the collection's model is not what it was: {error.message}") from error
            if len(contents) == 1:
                return [_of_document(error, contents[0])]
            # Halve until it stands alone.
            middle = len(contents) // 2
            first = await self._one_by_one(contents[:middle], embed)
            return [*first, *await self._one_by_one(contents[middle:], embed)]

    def _in_space(self, space: Space) -> Embed[Vector]:
        async def embed(contents: Sequence[Content]) -> list[Made[Vector]]:
            answer = await self._embedder.embed_passages(space, contents, timeout_s=self._timeout_s)
            _check_size(space, len(answer.vectors[0]))
            return list(zip(answer.vectors, answer.truncated, strict=True))

        return embed

    def _of_tokens(self, multi: MultiVectors) -> Embed[bytes]:
        async def embed(contents: Sequence[Content]) -> list[Made[bytes]]:
            answer = await self._embedder.embed_tokens(multi, contents, timeout_s=self._timeout_s)
            _check_size(multi, answer.dimensions)
            return list(zip(answer.blocks, answer.truncated, strict=True))

        return embed


def _of_document(error: InvalidArgument, content: Content) -> InvalidArgument:
    """An error on the only input of a request, with the field of the document that the input came from."""
    field = error.field.partition("]")[2].lstrip(".") or ("image" if isinstance(content, Image) else "text")
    return InvalidArgument(field, error.problem, reason=error.reason)


def _check_size(wanted: Space | MultiVectors, dimensions: int) -> None:
    if dimensions != wanted.dimensions:
        raise FailedPrecondition(
            f"model {wanted.embedder} now has {dimensions} dimensions, the collection has {wanted.dimensions}; "
            "make a new collection for it"
        )
