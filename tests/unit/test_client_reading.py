"""Pages through the client: what is sent, what comes back, and what happens on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from searchmesh.client import AsyncClient, Client, PageImage, PageLink, ReadFinished, ReadOptions, ReadStarted
from searchmesh.runtime.errors import FailedPrecondition, Internal, InvalidArgument, Overloaded
from searchmesh.v1 import common_pb2, reader_pb2
from support.fake_mesh import FakeMesh, Served, running


@pytest.fixture
async def mesh() -> FakeMesh:
    return FakeMesh()


@pytest.fixture
async def client(mesh: FakeMesh) -> AsyncIterator[AsyncClient]:
    async with running(mesh) as target, AsyncClient(reader=target, timeout_s=5) as client:
        yield client


async def test_a_page_is_sent_with_all_that_is_asked_of_it(mesh: FakeMesh, client: AsyncClient) -> None:
    await client.read(
        b"<p>a",
        content_type="text/html",
        url="https://e.example/",
        engine="model",
        model="m",
        format="json",
        instruction="i",
        json_schema={"type": "array"},
        target_selectors=["a"],
        remove_selectors=["b"],
        whole_page=True,
        links="text",
        images="none",
        links_summary=True,
        images_summary=True,
        max_tokens=7,
        fetch_timeout_s=1.5,
    )
    assert mesh.reads == [
        reader_pb2.ReadRequest(
            page=reader_pb2.Page(data=b"<p>a", content_type="text/html", url="https://e.example/"),
            engine=reader_pb2.READ_ENGINE_MODEL,
            model="m",
            format=reader_pb2.READ_FORMAT_JSON,
            instruction="i",
            json_schema='{"type": "array"}',
            target_selectors=["a"],
            remove_selectors=["b"],
            whole_page=True,
            links=reader_pb2.RETENTION_TEXT,
            images=reader_pb2.RETENTION_NONE,
            links_summary=True,
            images_summary=True,
            max_tokens=7,
            fetch_timeout_ms=1500,
        )
    ]


async def test_a_url_is_sent_as_such(mesh: FakeMesh, client: AsyncClient) -> None:
    await client.read("https://e.example/")
    (request,) = mesh.reads
    assert (request.WhichOneof("source"), request.url) == ("url", "https://e.example/")
    assert (request.engine, request.format) == (reader_pb2.READ_ENGINE_AUTO, reader_pb2.READ_FORMAT_MARKDOWN)


async def test_a_schema_asks_for_json(mesh: FakeMesh, client: AsyncClient) -> None:
    await client.read(b"a", json_schema='{"type": "array"}')
    assert mesh.reads[0].format == reader_pb2.READ_FORMAT_JSON


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"engine": "magic"}, "engine"),
        ({"format": "pdf"}, "format"),
        ({"links": "some"}, "links"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"url": "https://e.example/"}, "source"),
        ({"content_type": "text/html"}, "source"),
    ],
)
async def test_what_makes_no_sense_is_not_sent(
    mesh: FakeMesh, client: AsyncClient, arguments: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        await client.read("https://e.example/", **arguments)  # type: ignore[arg-type]
    assert raised.value.field == field
    assert mesh.calls == 0


async def test_the_events_come_one_by_one(mesh: FakeMesh, client: AsyncClient) -> None:
    started, *pieces, finished = [event async for event in client.read_stream(b"a", ReadOptions(engine="rules"))]
    assert isinstance(started, ReadStarted)
    assert isinstance(finished, ReadFinished)
    assert (started.engine, started.reason, started.page.title) == ("rules", "as requested", "A boat")
    assert pieces == ["some ", "words"]
    assert (finished.finish_reason, finished.output_tokens, dict(finished.timings)) == ("stop", 3, {"infer": 0.0015})


async def test_a_second_start_voids_the_text_before_it(mesh: FakeMesh, client: AsyncClient) -> None:
    first = reader_pb2.ReadStarted(engine=reader_pb2.READ_ENGINE_MODEL, model="m")
    mesh.read_events[:0] = [reader_pb2.ReadResponse(started=first), reader_pb2.ReadResponse(text="nonsense")]
    reading = await client.read(b"a")
    assert (reading.text, reading.started.engine) == ("some words", "rules")


async def test_summaries_and_reasons_come_back(mesh: FakeMesh, client: AsyncClient) -> None:
    mesh.read_events[-1].finished.MergeFrom(
        reader_pb2.ReadFinished(
            finish_reason=common_pb2.FINISH_REASON_LOOP,
            links=[reader_pb2.PageLink(url="u", text="t")],
            images=[reader_pb2.PageImage(url="v", alt="a")],
        )
    )
    finished = (await client.read(b"a")).finished
    assert (finished.finish_reason, finished.links, finished.images) == (
        "loop",
        (PageLink("u", "t"),),
        (PageImage("v", "a"),),
    )


async def test_a_shed_call_is_tried_again_after_the_delay_it_was_told(mesh: FakeMesh, client: AsyncClient) -> None:
    mesh.failures = [Overloaded("full", retry_after_s=0.2)]
    start = time.monotonic()
    assert (await client.read(b"a")).text == "some words"
    assert time.monotonic() - start >= 0.2
    assert mesh.calls == 2


async def test_once_a_text_has_begun_nothing_is_tried_again(mesh: FakeMesh, client: AsyncClient) -> None:
    mesh.read_failure = Overloaded("full", retry_after_s=0.01)
    seen = []
    stream = client.read_stream(b"a")
    with pytest.raises(Overloaded):
        seen += [event async for event in stream]
    assert mesh.calls == 1


async def test_an_error_after_the_text_is_raised(mesh: FakeMesh, client: AsyncClient) -> None:
    mesh.read_failure = FailedPrecondition("breaks the schema", reason="SCHEMA_VIOLATION")
    with pytest.raises(FailedPrecondition, match="breaks the schema"):
        await client.read(b"a")


@pytest.mark.parametrize("kept", [slice(1, None), slice(0, -1), slice(0, 0)])
async def test_half_a_reading_is_none(mesh: FakeMesh, client: AsyncClient, kept: slice) -> None:
    mesh.read_events = mesh.read_events[kept]
    with pytest.raises(Internal, match="ended before it was done"):
        await client.read(b"a")


async def test_leaving_the_stream_ends_the_call(mesh: FakeMesh, client: AsyncClient) -> None:
    mesh.hang.clear()
    task = asyncio.ensure_future(client.read(b"a"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_blocking_client_reads_too() -> None:
    served = Served()
    try:
        with Client(reader=served.target) as client:
            assert client.read(b"a").text == "some words"
            events = list(client.read_stream(b"a", ReadOptions(format="text")))
            assert events[1:3] == ["some ", "words"]
            assert served.mesh.reads[-1].format == reader_pb2.READ_FORMAT_TEXT
    finally:
        served.close()
