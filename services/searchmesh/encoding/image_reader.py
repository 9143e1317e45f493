"""Images of requests, on their way from a file or a URL to what a text graph reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from searchmesh.encoding.pool import Context
from searchmesh.encoding.vision import Seen, Tiles, Vision
from searchmesh.images import ImageLoader
from searchmesh.runtime.errors import DeadlineExceeded, Internal, Overloaded
from searchmesh.runtime.stages import Stages
from searchmesh.runtime.together import together
from searchmesh.v1 import common_pb2

_FILES = 4
"""Files in memory for each image that is being decoded or looked at: fetching takes longer."""


class Held:
    """Counts the images that all requests of a process have in memory."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    @contextmanager
    def of(self, count: int) -> Iterator[None]:
        """Hold so many for the block. Raises Overloaded if others hold too many; alone, any number may be held."""
        if self._held and self._held + count > self._most:
            raise Overloaded(
                f"other requests hold {self._held} images, this one has {count}; the limit is {self._most}"
            )
        self._held += count
        try:
            yield
        finally:
            self._held -= count


class ImageReader:
    """Looks at the images of all requests of a process, which have so much of its memory and no more.

    `at_once` images are pixels or patches at a time and four times as many are files; more wait. What is left of an
    image then, its features, counts among the `max_held` until the request is done with it.
    """

    def __init__(self, loader: ImageLoader, *, at_once: int, max_held: int) -> None:
        self._loader = loader
        self._files = asyncio.Semaphore(_FILES * at_once)
        self._pixels = asyncio.Semaphore(at_once)
        self._held = Held(max_held)

    @asynccontextmanager
    async def seen(
        self, vision: Vision, images: Mapping[str, common_pb2.Image], context: Context
    ) -> AsyncIterator[Mapping[str, Seen]]:
        """What the vision graph makes of images, by their field in the request; each distinct source is read once.

        Raises Overloaded, without doing any work, if other requests hold too many; DeadlineExceeded; and what
        `ImageLoader`, `Vision.prepare` and `Vision.look` raise.
        """
        sources = {field: image.url or image.data for field, image in images.items()}
        fields = {source: field for field, source in reversed(sources.items())}
        with self._held.of(len(fields)):
            with context.stages.measure("images"):
                found = await self._look(vision, {field: images[field] for field in fields.values()}, context)
            yield {field: found[fields[source]] for field, source in sources.items()}

    async def _look(
        self, vision: Vision, images: Mapping[str, common_pb2.Image], context: Context
    ) -> Mapping[str, Seen]:
        # Each look would add the time that all of them take together.
        own = Context(context.lane, context.deadline, Stages())
        try:
            async with asyncio.timeout(context.deadline.remaining_s()):
                found = await together(self._one(vision, field, image, own) for field, image in images.items())
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the images were looked at") from None
        return dict(zip(images, found, strict=True))

    async def _one(self, vision: Vision, field: str, image: common_pb2.Image, context: Context) -> Seen:
        async with self._files:
            data = await self._loader.load(image, field=field, deadline=context.deadline)
            async with self._pixels:
                prepared = await self._loader.decoded(data, lambda picture: vision.prepare(picture, field), field=field)
                (features,) = await vision.look([prepared], context)
        if not isinstance(prepared, Tiles):
            raise Internal("a model that embeds images has no features for a text graph")
        return prepared.seen(features)
