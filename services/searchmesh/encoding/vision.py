"""The vision graph of a model, and how what it sees enters a text graph's row."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as Picture

from searchmesh.batching import Batch, Ladder
from searchmesh.catalog import ExportedModel, Image
from searchmesh.encoding.pool import Context, Pool
from searchmesh.encoding.rows import Output, Pictures, Row, Vectors
from searchmesh.encoding.settings import EncodingSettings
from searchmesh.images import Grid, Patches, image_index, mrope_positions, to_patches, to_pixels
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh.text import Tokenizer
from searchmesh.triton import Backend, Tensor


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image of the one size that the model reads."""

    values: Vectors
    """[3, size, size]"""
    image_tokens: int
    output: Output = Output.SENTENCE

    @property
    def tokens(self) -> int:
        """See `Item`."""
        return self.image_tokens

    @property
    def kind(self) -> Hashable:
        """See `Item`."""
        return self.output

    def cut(self, result: Vectors) -> Vectors:
        """See `Input`."""
        return result[None]


@dataclass(frozen=True, slots=True)
class Tiles:
    """An image of any size, as patches in slots."""

    patches: Patches
    output: Output = Output.FEATURES

    @property
    def tokens(self) -> int:
        """See `Item`; a slot is a token of the vision graph."""
        return len(self.patches.mask)

    @property
    def kind(self) -> Hashable:
        """See `Item`."""
        return self.output

    def cut(self, result: Vectors) -> Vectors:
        """See `Input`: a feature per image token, in reading order."""
        return result[self.patches.order]

    def seen(self, features: Vectors) -> Seen:
        """What is left of the image when the vision graph has made `features` of it."""
        return Seen(features, self.patches.grid)


@dataclass(frozen=True, slots=True)
class Seen:
    """An image of any size as a text graph reads it."""

    features: Vectors
    """[tokens, hidden], in reading order."""
    grid: tuple[int, int]
    """Rows and columns in tokens."""

    @property
    def tokens(self) -> int:
        return len(self.features)


Prepared = Pixels | Tiles


class Vision:
    """Feeds the vision graph of one model."""

    def __init__(
        self, model: ExportedModel, tokenizer: Tokenizer, backend: Backend, settings: EncodingSettings
    ) -> None:
        if model.card.image is None:
            raise FailedPrecondition(f"{model.name} reads no images")
        self._card: Image = model.card.image
        self._tokenizer = tokenizer
        self.max_pixels = settings.image_resize_pixels or self._card.max_pixels or 0
        """Larger images are scaled down to it; 0 for a model that scales every image to one size."""
        ladder = Ladder(
            self._most_tokens(),
            max_batch_tokens=settings.max_batch_tokens,
            max_rows=min(settings.max_batch_rows, model.export.max_images or settings.max_batch_rows),
            steps=settings.length_steps,
            unit=self._unit(),
        )
        self._pool: Pool[Prepared] = Pool(f"{model.name}-vision", backend, ladder, settings.limits, _tensors)

    @property
    def embeds(self) -> bool:
        """The graph gives an image's vector itself; otherwise features that a row of the text graph reads."""
        return self._card.size is not None

    def prepare(self, image: Picture, field: str) -> Prepared:
        """Pixels to the graph's input: scaled, cut and normalised. Takes milliseconds: not for the event loop.

        Raises InvalidArgument, naming `field`, for an image that is too long and narrow.
        """
        if self._card.size is not None:
            return Pixels(to_pixels(image, self._card), self._most_tokens())
        return Tiles(to_patches(image, self._card, max_pixels=self.max_pixels, field=field))

    async def look(self, images: Sequence[Prepared], context: Context) -> list[Vectors]:
        """Per image its vector [1, dimensions] (`embeds`) or its features [tokens, hidden]. Raises as `Pool.run`."""
        return await self._pool.run(images, context)

    def sequence(self, parts: Sequence[Sequence[int] | Seen]) -> tuple[list[int], Pictures]:
        """The ids of a text with images in it, and what the images put in the places of theirs.

        `parts` are ids of text and images (at least one) in order.
        """
        ids: list[int] = []
        for part in parts:
            if isinstance(part, Seen):
                ids += [self.token] * part.tokens
            else:
                # A text that spells the token out must not pass for an image.
                ids += [token for token in part if token != self.token]
        images = [part for part in parts if isinstance(part, Seen)]
        features = [image.features for image in images]
        index = image_index(ids, self.token, [np.arange(sum(map(len, features)))])
        return ids, Pictures(features, index, mrope_positions(ids, self.token, [image.grid for image in images]))

    def row(self, image: Seen, output: Output, adapter: int) -> Row:
        """An image that is embedded alone, with the card's prompt around it."""
        before, after = self._prompt
        ids, pictures = self.sequence([before, image, after])
        first, last = (self._id(token) for token in self._card.span or ())
        spans = [(ids.index(first), len(ids) - ids[::-1].index(last))]
        return Row(ids, output, adapter, spans=spans, pictures=pictures)

    @property
    def word(self) -> str:
        """What stands for an image in a text."""
        return self._card.token or ""

    @cached_property
    def token(self) -> int:
        """Its id."""
        return self._id(self.word)

    @cached_property
    def _prompt(self) -> tuple[list[int], list[int]]:
        (ids,) = self._tokenizer.encode([self._card.prompt or ""])
        place = ids.index(self.token)
        return ids[:place], ids[place + 1 :]

    def _id(self, token: str) -> int:
        found = self._tokenizer.id_of(token)
        if found is None:
            raise FailedPrecondition(f"the model's vocabulary has no token {token!r}, which stands for images")
        return found

    def _unit(self) -> int:
        """Tokens that belong together: an attention window, the patches of one feature, or the whole image."""
        if self._card.size is not None:
            return self._most_tokens()
        return (self._card.merge or 1) ** 2 * (self._card.window or 1) ** 2

    def _most_tokens(self) -> int:
        """Of one image: its patches, with the class token or the empty slots of its windows."""
        if self._card.size is not None:
            return (self._card.size // (self._card.patch or 1)) ** 2 + 1
        return Grid.of(self._card, self.max_pixels).most_slots

    async def warm(self, deadline: Deadline, *, every_shape: bool) -> None:
        """See `Encoder.warm`."""
        await self._pool.warm(self._blank, deadline, every_shape=every_shape)

    def _blank(self, tokens: int) -> Prepared:
        if self._card.size is not None:
            return Pixels(np.zeros((3, self._card.size, self._card.size), np.float32), tokens)
        values = 3 * (self._card.temporal or 1) * (self._card.patch or 1) ** 2
        order = np.arange(tokens // (self._card.merge or 1) ** 2)
        ones, places = np.ones(tokens, np.int64), np.zeros((tokens, 2), np.int64)
        return Tiles(Patches(np.zeros((tokens, values), np.float32), ones, places, order, (1, len(order))))


def _tensors(batch: Batch[Prepared]) -> dict[str, Tensor]:
    first = batch.items[0]
    if isinstance(first, Pixels):
        return {"pixel_values": _stacked([item.values for item in batch.items if isinstance(item, Pixels)], batch)}
    patches = [item.patches for item in batch.items if isinstance(item, Tiles)]
    return {
        "patches": _stacked([own.pixels for own in patches], batch, batch.length),
        "patch_mask": _stacked([own.mask for own in patches], batch, batch.length),
        "patch_positions": _stacked([own.positions for own in patches], batch, batch.length),
    }


def _stacked(arrays: Sequence[NDArray[np.generic]], batch: Batch[Prepared], length: int | None = None) -> Tensor:
    """The arrays one below the other, zeros where they are shorter than `length` and for padding rows."""
    shape = arrays[0].shape if length is None else (length, *arrays[0].shape[1:])
    stacked = np.zeros((batch.padded_rows, *shape), dtype=arrays[0].dtype)
    for position, array in enumerate(arrays):
        stacked[position, : len(array)] = array
    return stacked
