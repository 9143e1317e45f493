"""The models of a new collection: whether they can do what they are wanted for, and at which sizes."""

from __future__ import annotations

import base64
from collections.abc import Awaitable
from dataclasses import replace
from typing import TypeVar

from searchmesh.router.index import Content, Image, MultiVectors, Space, SpaceName
from searchmesh.router.known_models import KnownModels
from searchmesh.router.ports import Embedder, Model
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument, NotFound

A = TypeVar("A")

LONGEST_S = 60.0
"""For one answer: a model may have to be opened first."""

_SAMPLE_TEXT = "dimensions"
_SAMPLE_IMAGE = Image(
    data=base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQAAAACCEkxzAAAAEklEQVR42mP4DwUMo4xRBukMAOPT/hAC2mzjAAAAAElFTkSuQmCC"
    )
)
"""A white PNG of 64 × 64 pixels."""


class Resolver:
    """Fills in models and sizes. `path` is that of the field in the request that an error names."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._models = KnownModels(embedder)

    async def space(self, path: str, wanted: Space, deadline: Deadline) -> Space:
        """The space with its model and size. One vector is asked for: that tells that both can be had.

        Raises InvalidArgument, naming the field, for a model that cannot embed what the space is for or has no such
        size, and what the embedding service raises.
        """
        modality = "image" if wanted.name == SpaceName.IMAGE else "text"
        model = await self._models.get(wanted.embedder, timeout_s=deadline.bounded(LONGEST_S))
        if model is not None:
            self._check_reads(path, model, modality)
            if not model.dimensions and model.multi_vector:
                raise InvalidArgument(
                    f"{path}.embedder", f"{model.name} has token vectors only; name it in collection.multi_vectors"
                )
            wanted = replace(wanted, embedder=model.name, modalities=model.modalities)
        sample: Content = _SAMPLE_IMAGE if modality == "image" else _SAMPLE_TEXT
        answer = await _named(
            path, self._embedder.embed_passages(wanted, [sample], timeout_s=deadline.bounded(LONGEST_S))
        )
        return replace(wanted, embedder=answer.model, dimensions=len(answer.vectors[0]))

    async def multi_vectors(self, path: str, wanted: MultiVectors, deadline: Deadline) -> MultiVectors:
        """The same for token vectors."""
        model = await self._models.get(wanted.embedder, timeout_s=deadline.bounded(LONGEST_S))
        if model is not None:
            if not model.multi_vector:
                raise InvalidArgument(f"{path}.embedder", f"{model.name} has no token vectors")
            wanted = replace(wanted, embedder=model.name, modalities=model.modalities)
        answer = await _named(
            path, self._embedder.embed_tokens(wanted, [_SAMPLE_TEXT], timeout_s=deadline.bounded(LONGEST_S))
        )
        return replace(wanted, embedder=answer.model, dimensions=answer.dimensions)

    def _check_reads(self, path: str, model: Model, modality: str) -> None:
        if modality not in model.modalities:
            able = ", ".join(self._models.reading(modality)) or "none"
            wanted = "images" if modality == "image" else "text"
            raise InvalidArgument(
                f"{path}.embedder", f"{model.name} does not read {wanted}; models here that do: {able}"
            )


async def _named(path: str, asking: Awaitable[A]) -> A:
    """The answer of the embedding service. Its complaints name the fields of the collection instead of its own."""
    try:
        return await asking
    except InvalidArgument as error:
        field = "dimensions" if error.field == "dimensions" else "embedder"
        raise InvalidArgument(f"{path}.{field}", error.problem, reason=error.reason) from error
    except NotFound as error:
        raise NotFound(f"{path}.embedder: {error.message}", reason=error.reason) from error
