"""Prompts as token ids, with images in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from searchmesh.catalog import ExportedModel
from searchmesh.encoding import Vectors
from searchmesh.images import Cropping
from searchmesh.runtime.errors import FailedPrecondition, Internal
from searchmesh.text import Tokenizer
from searchmesh.triton import Tensor


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the decoder reads."""

    ids: NDArray[np.int64]
    """[length]"""
    index: NDArray[np.int64]
    """[length]: for each token the feature that is added to it, -1 for none."""
    image_tokens: int
    """Tokens that stand for images, their borders included."""

    def tensors(self, features: Sequence[Vectors]) -> dict[str, Tensor]:
        """Inputs of the decoder; `features` [features, width] of each image, in order."""
        if not features:
            return {"input_ids": self.ids}
        return {"input_ids": self.ids, "image_features": np.concatenate(features), "image_index": self.index}


class Prompts:
    """Puts the prompts of one model together."""

    def __init__(self, model: ExportedModel, tokenizer: Tokenizer, cropping: Cropping) -> None:
        self._generation = model.card.generation
        self._image = model.card.image
        self._tokenizer = tokenizer
        self._cropping = cropping

    async def read(self, text: str) -> list[int]:
        """Ids of a rendered conversation, with one image token for each image."""
        (ids,) = await self._tokenizer.plain([text])
        generation = self._generation
        if generation is None or not generation.prepend_bos or generation.bos_id is None:
            return ids
        return [generation.bos_id, *ids]

    def illustrated(self, ids: Sequence[int], tilings: Sequence[tuple[int, int]]) -> Prompt:
        """The same with the tokens of each image in the place of its one. `tilings` are those of the images in order.

        Raises Internal if they are not as many as the image tokens.
        """
        if ids.count(self._placeholder) != len(tilings):
            raise Internal("the chat template has not a place for each image")
        images = iter(tilings)
        whole: list[int] = []
        added = 0
        for token in ids:
            if token == self._placeholder:
                layout = self._layout(next(images))
                whole += layout
                added += len(layout)
            else:
                whole.append(token)
        numbers = np.array(whole, np.int64)
        places = numbers == self._patch
        return Prompt(numbers, np.where(places, np.cumsum(places) - 1, -1), added)

    def _layout(self, tiling: tuple[int, int]) -> list[int]:
        words = self._cropping.layout(tiling)
        ids = {word: self._id(word) for word in set(words)}
        return [ids[word] for word in words]

    @cached_property
    def _placeholder(self) -> int:
        return self._id(self._image.token if self._image and self._image.token else "")

    @cached_property
    def _patch(self) -> int:
        return self._id(self._cropping.crops.token)

    def _id(self, token: str) -> int:
        found = self._tokenizer.id_of(token)
        if found is None:
            raise FailedPrecondition(f"the model's vocabulary has no token {token!r}, which stands for images")
        return found
