"""What a reranker is given to read of each candidate: stored token vectors, the text, or the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice

from searchmesh.router.documents import readable
from searchmesh.router.index import Content, Document, Image, MultiVectors
from searchmesh.router.library import Library
from searchmesh.router.ports import Model, StoredVectors
from searchmesh.router.query import Degradation
from searchmesh.router.retrieval import Key
from searchmesh.runtime.errors import InvalidArgument

MAX_PASSAGE_CHARACTERS = 32 * 1024
"""Sent of one document: about what the longest context of a reranker takes when it reads one at a time."""

MAX_REQUEST_CHARACTERS = 2 * 1024 * 1024
"""Sent of all documents: below the size of a gRPC message however many bytes a character has."""

MAX_REQUEST_BYTES = 7 * 1024 * 1024
"""Images or token vectors sent of all documents; with the texts, and an image as the query, still below that size."""

MAX_REQUEST_IMAGES = 63
"""Sent of all documents; the reranking service takes one more by default, which may be the query."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The candidates that are read, and as what. The others keep their place; `degraded` says where that is a loss."""

    keys: Sequence[Key]
    documents: Sequence[Content] | StoredVectors
    degraded: Sequence[Degradation] = ()

    def without(self, position: int, error: InvalidArgument) -> Reading:
        """The same without a content that could not be read."""
        if isinstance(self.documents, StoredVectors):
            raise error
        place, id = self.keys[position]
        message = f"{place}/{id} was not read and keeps its place: its image {error.problem}"
        return Reading(
            [*self.keys[:position], *self.keys[position + 1 :]],
            [*self.documents[:position], *self.documents[position + 1 :]],
            [*self.degraded, Degradation("rerank", error.reason, message)],
        )


async def reading(
    model: Model, candidates: Mapping[Key, Document], found_by_image: Set[Key], library: Library
) -> Reading:
    """What `model` is given of the candidates, which are in fused order."""
    seen = {
        key: content
        for key, document in candidates.items()
        if (content := _content(model, document, found_by_image=key in found_by_image)) is not None
    }
    stored, degraded = await _stored(model, list(seen), library)
    if stored is not None:
        return stored
    images = {key: content for key, content in seen.items() if isinstance(content, Image)}
    whole = await library.images(dict(islice(images.items(), MAX_REQUEST_IMAGES)), MAX_REQUEST_BYTES)
    if left := len(images) - len(whole):
        degraded.append(_full(left, "images"))
    contents = {key: whole.get(key, content) for key, content in seen.items() if key in whole or key not in images}
    limit = min(MAX_PASSAGE_CHARACTERS, MAX_REQUEST_CHARACTERS // max(1, len(contents)))
    return Reading(
        list(contents), [one[:limit] if isinstance(one, str) else one for one in contents.values()], degraded
    )


def _content(model: Model, document: Document, *, found_by_image: bool) -> Content | None:
    """The image, where the image was found; else the text, else the image: whatever the model reads of that."""
    if found_by_image and document.image is not None and "image" in model.modalities:
        return document.image
    return readable(document, model.modalities)


async def _stored(model: Model, keys: Sequence[Key], library: Library) -> tuple[Reading | None, list[Degradation]]:
    """The candidates as stored token vectors, if all have those of this model. If only some have, what to say of it."""
    kinds = {_kind_of(key, model, library) for key in keys}
    if not any(kinds):
        return None, []
    if len(kinds) == 1 and (multi := kinds.pop()) is not None:
        found = await library.token_vectors(keys, MAX_REQUEST_BYTES)
        if all(found.values()):
            blocks = {key: block for key, block in found.items() if block}
            left = len(keys) - len(blocks)
            degraded = [_full(left, "token vectors")] if left else []
            return Reading(list(blocks), StoredVectors(multi, list(blocks.values())), degraded), []
    message = f"all candidates were read anew: not all have stored token vectors of {model.name}, and of one size"
    return None, [Degradation("rerank", "TOKEN_VECTORS_MISSING", message)]


def _kind_of(key: Key, model: Model, library: Library) -> MultiVectors | None:
    """The token vectors that are stored with a document, if they are of this model."""
    collection = library.collection(key)
    multi = collection.multi_vectors if collection is not None else None
    return multi if multi is not None and multi.embedder == model.name else None


def _full(left: int, what: str) -> Degradation:
    limit = f"{MAX_REQUEST_BYTES} bytes of {what}" + (f", {MAX_REQUEST_IMAGES} at most" if what == "images" else "")
    message = f"{left} candidates were not read and keep their place: a request holds {limit}"
    return Degradation("rerank", "REQUEST_FULL", message)
