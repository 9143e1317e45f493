"""Query and documents of a request as a model reads them: texts, and images that the vision graph has seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from searchmesh.encoding import ImageReader, Seen, Vision
from searchmesh.reranker.scorer import Ask

Input: TypeAlias = str | Seen


@dataclass(frozen=True)
class Inputs:
    """Images of one source are one object."""

    query: Input
    documents: Sequence[Input]


def document_field(position: int) -> str:
    """The path of a document in the request."""
    return f"documents[{position}]"


@asynccontextmanager
async def inputs_of(ask: Ask, images: ImageReader, vision: Vision | None) -> AsyncIterator[Inputs]:
    """The inputs, for the length of the block. Raises what `ImageReader.seen` raises.

    An ask has images only for a model that has a vision graph.
    """
    contents = {"query": ask.query} | {document_field(place): content for place, content in enumerate(ask.documents)}
    pictures = {f"{field}.image": content for field, content in contents.items() if not isinstance(content, str)}
    if vision is None or not pictures:
        yield Inputs(*_split([content for content in contents.values() if isinstance(content, str)]))
        return
    async with images.seen(vision, pictures, ask.context) as seen:
        yield Inputs(
            *_split(
                [content if isinstance(content, str) else seen[f"{field}.image"] for field, content in contents.items()]
            )
        )


def _split(found: Sequence[Input]) -> tuple[Input, Sequence[Input]]:
    return found[0], found[1:]
