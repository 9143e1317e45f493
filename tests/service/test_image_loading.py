"""Images of requests: sent or fetched, and prepared off the event loop."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

from searchmesh.fetch import Fetcher
from searchmesh.images import ImageLimits, ImageLoader, ImageSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2
from support.pictures import encoded, picture
from support.web import WebServer, response

PNG = encoded(picture(30, 20), "PNG")


@pytest.fixture
async def server() -> AsyncIterator[WebServer]:
    async with WebServer() as server:
        server.answers["/image"] = response(PNG, content_type="image/png")
        yield server


@pytest.fixture
async def loader(server: WebServer) -> AsyncIterator[ImageLoader]:
    settings = ImageSettings(
        fetch_enabled=True, fetch_allow=(f"127.0.0.1:{server.port}",), image_max_bytes=len(PNG), image_threads=2
    )
    fetcher = Fetcher(settings, ssl_context=ssl.create_default_context())
    loader = ImageLoader(fetcher, settings.image_limits, threads=settings.image_threads)
    yield loader
    loader.close()
    await fetcher.close()


async def _load(loader: ImageLoader, **source: Any) -> bytes:
    return await loader.load(common_pb2.Image(**source), field="inputs[0].image", deadline=Deadline.after(5))


async def test_an_image_is_sent_or_fetched(loader: ImageLoader, server: WebServer) -> None:
    assert await _load(loader, data=PNG) == PNG
    assert await _load(loader, url=server.url("/image")) == PNG


async def test_an_image_may_have_any_type_that_servers_give_to_images(loader: ImageLoader, server: WebServer) -> None:
    for content_type in ("image/x-whatever", "application/octet-stream", "binary/octet-stream", None):
        server.answers["/image"] = response(PNG, content_type=content_type)
        assert await _load(loader, url=server.url("/image")) == PNG


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({}, "inputs[0].image: has neither data nor url"),
        ({"data": PNG + b"!"}, f"inputs[0].image.data: has {len(PNG) + 1} bytes, the limit is {len(PNG)}"),
        ({"url": "/large"}, f"inputs[0].image.url: is larger than {len(PNG)} bytes"),
        ({"url": "/page"}, "inputs[0].image.url: has a content type other than image/*, "),
        ({"url": "/none"}, "inputs[0].image.url: answered with status 404"),
    ],
)
async def test_what_cannot_be_loaded_is_named(
    source: dict[str, Any], told: str, loader: ImageLoader, server: WebServer
) -> None:
    server.answers["/large"] = response(PNG + b"!", content_type="image/png")
    server.answers["/page"] = response(b"<p>", content_type="text/html")
    if "url" in source:
        source = {"url": server.url(source["url"])}
    with pytest.raises(InvalidArgument) as caught:
        await _load(loader, **source)
    assert str(caught.value).startswith(told)


async def test_urls_are_off_unless_switched_on(server: WebServer) -> None:
    fetcher = Fetcher(ImageSettings(), ssl_context=ssl.create_default_context())
    loader = ImageLoader(fetcher, ImageLimits())
    with pytest.raises(InvalidArgument, match=r"inputs\[0\]\.image\.url: is a URL, and this service does not fetch"):
        await _load(loader, url=server.url("/image"))
    assert await _load(loader, data=PNG) == PNG
    loader.close()
    await fetcher.close()


async def test_decoding_and_preparing_happen_in_one_other_thread(loader: ImageLoader) -> None:
    def prepare(image: Image.Image) -> tuple[tuple[int, int], str]:
        return image.size, threading.current_thread().name

    size, thread = await loader.decoded(PNG, prepare, field="inputs[0].image")
    assert size == (30, 20)
    assert thread.startswith("images")


async def test_no_more_images_are_prepared_at_once_than_there_are_threads(loader: ImageLoader) -> None:
    busy = most = 0
    lock = threading.Lock()

    def prepare(image: Image.Image) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.01)
        with lock:
            busy -= 1

    await asyncio.gather(*(loader.decoded(PNG, prepare, field="x") for _ in range(8)))
    assert most == 2


async def test_errors_come_out_of_the_thread(loader: ImageLoader) -> None:
    with pytest.raises(InvalidArgument, match=r"inputs\[0\].image: is a broken or truncated image file"):
        await loader.decoded(PNG[:100], lambda image: image, field="inputs[0].image")

    def refuse(image: Image.Image) -> None:
        raise InvalidArgument("inputs[0].image", "is too blue")

    with pytest.raises(InvalidArgument, match="is too blue"):
        await loader.decoded(PNG, refuse, field="inputs[0].image")
