"""Images of requests: their bytes, sent or fetched, and the work on them off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from PIL import Image

from searchmesh.fetch import Fetcher
from searchmesh.images.decode import decode
from searchmesh.images.settings import ImageLimits
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2

T = TypeVar("T")

_ACCEPT = ("image/*", "application/octet-stream", "binary/octet-stream")
"""The content decides; object stores often do not know the type of what they hold."""


class ImageLoader:
    """Loads and prepares the images of one process. Pillow and most of numpy work without the GIL, so threads help."""

    def __init__(self, fetcher: Fetcher, limits: ImageLimits, *, threads: int = 2) -> None:
        self._fetcher = fetcher
        self._limits = limits
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="images")

    @property
    def limits(self) -> ImageLimits:
        """What an image may be at most."""
        return self._limits

    async def load(self, image: common_pb2.Image, *, field: str, deadline: Deadline) -> bytes:
        """The file, as it was sent or from its URL. `field` is the path of the image in the request.

        Raises InvalidArgument for an image without source, an empty one or one of too many bytes, and what
        `Fetcher.get` raises.
        """
        source = image.WhichOneof("source")
        if source is None:
            raise InvalidArgument(field, "has neither data nor url")
        if source == "url":
            fetched = await self._fetcher.get(
                image.url, field=f"{field}.url", accept=_ACCEPT, deadline=deadline, max_bytes=self._limits.max_bytes
            )
            return fetched.body
        if len(image.data) > self._limits.max_bytes:
            raise InvalidArgument(
                f"{field}.data",
                f"has {len(image.data)} bytes, the limit is {self._limits.max_bytes}",
                reason="IMAGE_TOO_LARGE",
            )
        return image.data

    async def decoded(self, data: bytes, prepare: Callable[[Image.Image], T], *, field: str) -> T:
        """`prepare` of the decoded image, both in one thread. Raises what `decode` and `prepare` raise."""

        def work() -> T:
            return prepare(decode(data, field=field, limits=self._limits))

        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """End the threads. The fetcher is its owner's."""
        self._threads.shutdown(wait=False, cancel_futures=True)
