"""Images of requests as features: fetched, cut into crops and looked at by the vision graph."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from searchmesh.batching import Batch, Ladder
from searchmesh.catalog import ExportedModel
from searchmesh.encoding import Context, Held, Output, Vectors
from searchmesh.encoding.pool import Pool
from searchmesh.images import Cropping, ImageLoader, probe
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded, FailedPrecondition
from searchmesh.runtime.stages import Stages
from searchmesh.runtime.together import together
from searchmesh.triton import Backend, Tensor
from searchmesh.v1 import common_pb2
from searchmesh.vlm.settings import VlmSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Crop:
    """One row of the vision graph."""

    patches: NDArray[np.float32]
    """[patches, values]"""
    coverage: NDArray[np.float32]
    """[patches]"""
    output: Output = Output.FEATURES

    @property
    def tokens(self) -> int:
        """See `searchmesh.batching.Item`."""
        return len(self.patches)

    @property
    def kind(self) -> Hashable:
        """See `searchmesh.batching.Item`."""
        return self.output

    def cut(self, result: Vectors) -> Vectors:
        """See `searchmesh.encoding.pool.Input`."""
        return result


@dataclass(frozen=True, slots=True)
class File:
    """An image that is loaded, and not decoded yet."""

    data: bytes
    tiling: tuple[int, int]


class Sight:
    """The vision graph of one model. Crops of all requests share its batches."""

    def __init__(
        self, model: ExportedModel, backend: Backend, loader: ImageLoader, settings: VlmSettings, held: Held
    ) -> None:
        if model.card.image is None:
            raise FailedPrecondition(f"{model.name} reads no images")
        self.cropping = Cropping.of(model.card.image)
        self._loader = loader
        self._held = held
        self._at_once = asyncio.Semaphore(settings.vlm_images_at_once)
        patches = self.cropping.side**2
        ladder = Ladder(
            patches,
            max_batch_tokens=max(settings.max_batch_tokens, patches),
            max_rows=min(settings.max_batch_rows, model.export.max_images or settings.max_batch_rows),
            steps=1,
            unit=patches,
        )
        self._pool: Pool[Crop] = Pool(model.vision_name, backend, ladder, settings.limits, _tensors)

    @asynccontextmanager
    async def holding(self, count: int) -> AsyncIterator[None]:
        """Room for so many images. Raises Overloaded, before any work is done, if other requests hold too many."""
        with self._held.of(count):
            yield

    async def load(self, images: Mapping[str, common_pb2.Image], deadline: Deadline) -> Mapping[str, File]:
        """The files by their field, with the sizes that their headers tell. Raises what `ImageLoader.load`, `probe` and
        `Cropping.tiling` raise."""
        files = await _in_time(deadline, [self._file(field, image, deadline) for field, image in images.items()])
        return dict(zip(images, files, strict=True))

    async def _file(self, field: str, image: common_pb2.Image, deadline: Deadline) -> File:
        data = await self._loader.load(image, field=field, deadline=deadline)
        width, height = probe(data, field=field, limits=self._loader.limits)
        return File(data, self.cropping.tiling(width, height, field))

    async def look(self, files: Mapping[str, File], context: Context) -> Mapping[str, tuple[Vectors, tuple[int, int]]]:
        """Features in the order of their tokens, and the tiling (which an orientation may have turned), by field."""
        own = Context(context.lane, context.deadline, Stages())
        with context.stages.measure("images"):
            found = await _in_time(context.deadline, [self._one(field, file, own) for field, file in files.items()])
        return dict(zip(files, found, strict=True))

    async def _one(self, field: str, file: File, context: Context) -> tuple[Vectors, tuple[int, int]]:
        async with self._at_once:
            crops = await self._loader.decoded(file.data, lambda image: self.cropping.cut(image, field), field=field)
            rows = [Crop(patches, covered) for patches, covered in zip(crops.patches, crops.coverage, strict=True)]
            features = np.concatenate(await self._pool.run(rows, context))
            return features[crops.order], crops.tiling

    async def warm(self, deadline: Deadline) -> None:
        """Run the shapes that cost time when they are first met."""
        patches = self.cropping.side**2
        values = 3 * self.cropping.patch**2
        row = Crop(np.zeros((patches, values), np.float32), np.ones(patches, np.float32))
        await self._pool.warm(lambda _: row, deadline, every_shape=False)


def _tensors(batch: Batch[Crop]) -> dict[str, Tensor]:
    more = batch.padded_rows - len(batch.items)
    padding = [batch.items[0]] * more
    rows: Sequence[Crop] = [*batch.items, *padding]
    return {"crops": np.stack([row.patches for row in rows]), "coverage": np.stack([row.coverage for row in rows])}


async def _in_time(deadline: Deadline, work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    try:
        async with asyncio.timeout(deadline.remaining_s()):
            return await together(work)
    except TimeoutError:
        raise DeadlineExceeded("the deadline passed before the images were looked at") from None
