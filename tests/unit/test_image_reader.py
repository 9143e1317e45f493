"""Images of requests share the memory of the process: how many are in it, and what becomes of them when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from searchmesh.batching import Lane
from searchmesh.encoding import Context, ImageReader, Tiles, Vision
from searchmesh.images import ImageLoader, Patches
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded, InvalidArgument, Overloaded
from searchmesh.runtime.stages import Stages
from searchmesh.v1 import common_pb2


class Eyes:
    """A loader and a vision graph that take their time and count what is with them."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.finished = 0
        self.now = {"files": 0, "pixels": 0}
        self.most = {"files": 0, "pixels": 0}
        self.bad = b""
        self.delay_s = 0.01

    def _enter(self, kind: str) -> None:
        self.now[kind] += 1
        self.most[kind] = max(self.most[kind], self.now[kind])

    async def load(self, image: common_pb2.Image, *, field: str, deadline: Deadline) -> bytes:
        self.files.append(field)
        self._enter("files")
        await asyncio.sleep(self.delay_s)
        return image.url.encode() or image.data

    async def decoded(self, data: bytes, prepare: Callable[[Any], Any], *, field: str) -> Tiles:
        self._enter("pixels")
        if data == self.bad:
            raise InvalidArgument(field, "is broken")
        empty = np.zeros((4, 2), np.float32)
        mark = np.full((4, 1), len(data), np.float32)
        return Tiles(Patches(mark, empty[:, 0].astype(np.int64), empty.astype(np.int64), np.arange(1), (1, 1)))

    async def look(self, images: list[Tiles], context: Context) -> list[Any]:
        await asyncio.sleep(self.delay_s)
        self.now = {kind: count - 1 for kind, count in self.now.items()}
        self.finished += 1
        return [image.patches.pixels[:1] for image in images]


def reader(eyes: Eyes, **limits: int) -> ImageReader:
    return ImageReader(cast(ImageLoader, eyes), **{"at_once": 4, "max_held": 100} | limits)


def images(*sources: bytes) -> dict[str, common_pb2.Image]:
    return {f"documents[{place}].image": common_pb2.Image(data=source) for place, source in enumerate(sources)}


def context(seconds: float | None = None) -> Context:
    return Context(Lane.INTERACTIVE, Deadline.after(seconds), Stages())


def vision(eyes: Eyes) -> Vision:
    return cast(Vision, eyes)


async def test_images_of_one_source_are_looked_at_once_and_have_one_answer() -> None:
    eyes = Eyes()
    of_url = common_pb2.Image(url="http://x/a")
    asked = images(b"one", b"three", b"one") | {"query.image": of_url, "documents[9].image": of_url}
    async with reader(eyes).seen(vision(eyes), asked, context()) as seen:
        assert seen.keys() == asked.keys()
        assert [float(image.features[0, 0]) for image in seen.values()] == [3, 5, 3, 10, 10]
        assert seen["documents[0].image"] is seen["documents[2].image"]
    assert sorted(eyes.files) == ["documents[0].image", "documents[1].image", "query.image"]


async def test_few_images_are_pixels_at_a_time_and_more_are_files() -> None:
    eyes = Eyes()
    async with reader(eyes, at_once=2).seen(vision(eyes), images(*(b"x" * n for n in range(1, 31))), context()):
        pass
    assert eyes.finished == 30
    assert eyes.most["pixels"] == 2
    assert eyes.most["files"] == 8


async def test_a_bad_image_ends_the_work_on_the_others_and_holds_nothing() -> None:
    eyes = Eyes()
    eyes.bad = b"bad"
    images_of = reader(eyes, at_once=1, max_held=4)
    for _ in range(3):
        with pytest.raises(InvalidArgument) as raised:
            async with images_of.seen(vision(eyes), images(b"a", b"bad", b"b", b"cc"), context()):
                pass
        assert raised.value.field == "documents[1].image"
    finished = eyes.finished
    await asyncio.sleep(0.1)
    assert eyes.finished == finished
    async with images_of.seen(vision(eyes), images(b"a", b"b", b"c", b"d"), context()) as seen:
        assert len(seen) == 4


async def test_what_requests_hold_is_bounded_until_they_are_done() -> None:
    eyes = Eyes()
    images_of = reader(eyes, max_held=4)
    async with images_of.seen(vision(eyes), images(b"a", b"b", b"c"), context()):
        with pytest.raises(Overloaded):
            async with images_of.seen(vision(eyes), images(b"d", b"e"), context()):
                pass
        async with images_of.seen(vision(eyes), images(b"d"), context()):
            pass
    async with images_of.seen(vision(eyes), images(*(bytes([n]) for n in range(9))), context()) as seen:
        assert len(seen) == 9  # alone, a request may have more: it was checked elsewhere


async def test_time_that_runs_out_is_the_callers_deadline() -> None:
    eyes = Eyes()
    eyes.delay_s = 5
    with pytest.raises(DeadlineExceeded):
        async with reader(eyes).seen(vision(eyes), images(b"a"), context(0.05)):
            pass


async def test_the_time_of_images_is_what_the_caller_waited() -> None:
    eyes = Eyes()
    own = context()
    async with reader(eyes, at_once=8).seen(vision(eyes), images(*(b"x" * n for n in range(1, 9))), own):
        pass
    assert list(own.stages.seconds) == ["images"]
    assert own.stages.seconds["images"] < 0.15  # not eight times 0.02
