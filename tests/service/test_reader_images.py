"""Images through the reader: what it asks a vision-language service, and what its caller is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from searchmesh.client import AsyncClient, ReadFinished, ReadOptions, ReadStarted
from searchmesh.reader.images import ImageReader
from searchmesh.reader.options import ReadOptions as Options
from searchmesh.reader.page import Source
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Overloaded,
    SearchmeshError,
    Unauthenticated,
    Unavailable,
)
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.server import Service, serve
from searchmesh.v1 import common_pb2, models_pb2, vlm_pb2
from support.certificates import Certificates
from support.fake_mesh import FakeMesh, Served
from support.generator import FakeGenerators
from support.mesh import eventually
from support.pictures import encoded, picture
from support.ports import free_port
from support.reader import client_of_reader, running_reader
from support.site import Site
from support.site import serving as serving_site

MODEL = "jina-vlm"
IMAGE = encoded(picture(64, 48), "PNG")
SCHEMA = {"type": "object", "properties": {"boats": {"type": "integer"}}, "required": ["boats"]}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serving_site() as site:
        yield site


@pytest.fixture(scope="module")
def vlm() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@pytest.fixture(scope="module")
def target(vlm: Served, site: Site) -> Iterator[str]:
    allowed = f"127.0.0.1:{site.port}"
    with running_reader(
        FakeGenerators(None), vlm_target=vlm.target, image_tokens=99, fetch_enabled=True, fetch_allow=allowed
    ) as target:
        yield target


@pytest.fixture
def mesh(vlm: Served) -> FakeMesh:
    vars(vlm.mesh).update(vars(FakeMesh()))
    vlm.mesh.models = [models_pb2.Model(name="other"), models_pb2.Model(name=MODEL, is_default=True)]
    return vlm.mesh


@pytest.fixture
async def client(target: str, mesh: FakeMesh) -> AsyncIterator[AsyncClient]:
    async with client_of_reader(target) as client:
        yield client


async def test_an_image_is_read_by_the_preset_for_its_text(client: AsyncClient, mesh: FakeMesh) -> None:
    events = [event async for event in client.read_stream(IMAGE, url="https://e.example/a.png", timeout_s=30)]
    started, *pieces, finished = events
    assert isinstance(started, ReadStarted)
    assert (started.engine, started.model, started.reason) == ("model", MODEL, "only a model reads images")
    page = started.page
    assert (page.content_type, page.bytes, page.url) == ("image/png", len(IMAGE), "https://e.example/a.png")
    assert pieces == ["a ", "boat"]
    assert isinstance(finished, ReadFinished)
    assert (finished.finish_reason, finished.fidelity, finished.chunks) == ("stop", None, 1)
    assert (finished.input_tokens, finished.output_tokens) == (430, 2)
    assert set(finished.timings) == {"generate"}
    (asked,), (seconds,) = mesh.questions, mesh.question_seconds
    assert (asked.model, asked.preset, asked.max_tokens, asked.json_schema) == (MODEL, "read_text", 99, "")
    (message,) = asked.messages
    assert list(message.content) == [common_pb2.Content(image=common_pb2.Image(data=IMAGE))]
    assert seconds is not None
    assert 20 < seconds < 30


async def test_an_image_behind_a_url(client: AsyncClient, mesh: FakeMesh, site: Site) -> None:
    site.pages["/scan"] = ("image/jpeg", IMAGE)
    reading = await client.read(f"{site.url}/scan", engine="model", format="text", model="other", max_tokens=7)
    assert (reading.text, reading.started.reason, reading.started.model) == ("a boat", "as requested", "other")
    assert (reading.page.url, reading.page.content_type) == (f"{site.url}/scan", "image/jpeg")
    (asked,) = mesh.questions
    assert (asked.model, asked.max_tokens) == ("other", 7)
    assert asked.messages[0].content[0].image.data == IMAGE


@pytest.mark.parametrize(
    ("options", "preset", "text", "schema"),
    [
        (ReadOptions(json_schema=SCHEMA), "read_text", "", SCHEMA),
        (ReadOptions(json_schema=SCHEMA, instruction="Count the boats."), "", "Count the boats.", SCHEMA),
        (ReadOptions(format="json", instruction="Count the boats."), "", "Count the boats.", {}),
        (ReadOptions(format="text", instruction="Whose is it?"), "", "Whose is it?", None),
    ],
)
async def test_instructions_and_schemas_go_to_the_model(
    client: AsyncClient, mesh: FakeMesh, options: ReadOptions, preset: str, text: str, schema: dict[str, Any] | None
) -> None:
    pieces = [event async for event in client.read_stream(IMAGE, options) if isinstance(event, str)]
    assert pieces == ["a ", "boat"]
    (asked,) = mesh.questions
    assert asked.preset == preset
    assert [content.text for content in asked.messages[0].content][1:] == ([text] if text else [])
    assert (json.loads(asked.json_schema) if asked.json_schema else None) == schema


async def test_json_that_asks_for_nothing_else_is_the_text_with_what_is_known(
    client: AsyncClient, mesh: FakeMesh
) -> None:
    mesh.answer_events[0].text = 'a "small"\n'
    reading = await client.read(IMAGE, format="json", links_summary=True, url="https://e.example/a.png")
    assert reading.json() == {
        "url": "https://e.example/a.png",
        "content_type": "image/png",
        "bytes": len(IMAGE),
        "content": 'a "small"\nboat',
        "links": [],
    }
    assert mesh.questions[0].json_schema == ""


async def test_how_the_text_ended_is_told(client: AsyncClient, mesh: FakeMesh) -> None:
    for reason, word in ((common_pb2.FINISH_REASON_LENGTH, "length"), (common_pb2.FINISH_REASON_LOOP, "loop")):
        mesh.answer_events[-1].finished.finish_reason = reason
        assert (await client.read(IMAGE)).finished.finish_reason == word
    mesh.answer_events.pop()
    with pytest.raises(SearchmeshError, match="ended before it was done"):
        await client.read(IMAGE)


async def test_rules_read_no_image(client: AsyncClient, mesh: FakeMesh) -> None:
    with pytest.raises(InvalidArgument, match=r"engine: is RULES, and page\.data is an image"):
        await client.read(IMAGE, engine="rules")
    assert mesh.questions == []


async def test_a_schema_is_checked_before_anybody_is_asked(client: AsyncClient, mesh: FakeMesh) -> None:
    with pytest.raises(InvalidArgument, match="json_schema: is no JSON Schema"):
        await client.read(IMAGE, json_schema={"type": "nonsense"})
    assert mesh.calls == 0


@pytest.mark.parametrize(
    ("failure", "expected", "words"),
    [
        (InvalidArgument("messages[0].content[0].image", "is broken"), InvalidArgument, r"page\.data: is broken"),
        (InvalidArgument("messages", "have 9 tokens"), InvalidArgument, r"page\.data: have 9 tokens"),
        (InvalidArgument("messages[0].content[1].text", "is rude"), InvalidArgument, "instruction: is rude"),
        (InvalidArgument("json_schema", "is odd"), InvalidArgument, "json_schema: is odd"),
        (FailedPrecondition("x is not loaded"), FailedPrecondition, "x is not loaded"),
        (FailedPrecondition("not so", reason="SCHEMA_VIOLATION"), FailedPrecondition, "not so"),
        (NotFound("no such model"), NotFound, "no such model"),
        (Unauthenticated("who are you?"), FailedPrecondition, "does not take the reader's key; set SEARCHMESH_API_KEY"),
        (Unavailable("no", reason="NOT_READY"), Unavailable, "the vision-language service cannot be reached or is not"),
        (Unavailable("drained", reason="DRAINING"), Unavailable, "drained"),
    ],
)
async def test_what_the_service_refuses_is_told_in_the_callers_words(
    client: AsyncClient, mesh: FakeMesh, failure: SearchmeshError, expected: type[SearchmeshError], words: str
) -> None:
    mesh.failures = [failure] * 10
    with pytest.raises(expected, match=words) as raised:
        await client.read(IMAGE, model="other", instruction="what?")
    if failure.reason == "SCHEMA_VIOLATION":
        assert raised.value.reason == "SCHEMA_VIOLATION"


async def test_a_shed_image_is_not_tried_again_by_the_reader(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.failures = [Overloaded("full", retry_after_s=100.0)]
    with pytest.raises(Overloaded, match="full") as raised:
        await client.read(IMAGE, model="other", timeout_s=10)
    assert raised.value.retry_after_s == 100.0
    assert mesh.calls == 1


async def test_a_service_that_fails_in_the_middle_of_a_text(client: AsyncClient, mesh: FakeMesh) -> None:
    def events() -> Iterator[vlm_pb2.GenerateResponse]:
        yield vlm_pb2.GenerateResponse(text="a ")
        raise Unavailable("the decoder is gone", reason="BACKEND_UNAVAILABLE")

    mesh.answer_events = events()  # type: ignore[assignment]
    stream = client.read_stream(IMAGE)
    assert [type(await anext(stream)), await anext(stream)] == [ReadStarted, "a "]
    with pytest.raises(Unavailable, match="the decoder is gone"):
        await anext(stream)


async def test_a_caller_that_leaves_ends_the_answer(client: AsyncClient, mesh: FakeMesh) -> None:
    mesh.answer_events = [vlm_pb2.GenerateResponse(text="words " * 500)] * 5000
    stream = client.read_stream(IMAGE)
    async for event in stream:
        if isinstance(event, str):
            break
    await stream.aclose()
    await eventually(lambda: mesh.left_early == 1, "the answer has ended")
    assert len(mesh.questions) == 1


async def test_without_a_service_the_error_says_what_to_set() -> None:
    reader = ImageReader(ReaderSettings())
    with pytest.raises(FailedPrecondition, match="set SEARCHMESH_VLM_TARGET of the reader to the address") as raised:
        await anext(reader.read(Source(IMAGE), Options(), Call(Deadline())))
    assert raised.value.reason == "MODEL_NOT_LOADED"
    await reader.close()


async def test_a_service_that_is_not_there() -> None:
    reader = ImageReader(ReaderSettings(vlm_target=f"127.0.0.1:{free_port()}"))
    with pytest.raises(Unavailable, match="vision-language service cannot be reached") as raised:
        await anext(reader.read(Source(IMAGE), Options(), Call(Deadline.after(10))))
    assert raised.value.reason == "VLM_UNAVAILABLE"
    await reader.close()


async def test_a_service_with_certificates_and_keys(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    files = {"tls_cert": tmp_path / "own.pem", "tls_key": tmp_path / "own.key", "tls_ca": tmp_path / "ca.pem"}
    certificates.issue()
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-some-length\n")
    served = ReaderSettings(port=free_port(100), drain_wait_s=0, api_keys_file=keys, **files)
    mesh = FakeMesh()
    services = {
        vlm_pb2.DESCRIPTOR.services_by_name["Vlm"]: mesh,
        models_pb2.DESCRIPTOR.services_by_name["Models"]: mesh,
    }
    ready, stop = asyncio.Event(), asyncio.Event()

    async def warm() -> None:
        ready.set()

    task = asyncio.create_task(serve(served, Service(services, warm), stop))
    await ready.wait()
    own: dict[str, Any] = {"vlm_target": f"127.0.0.1:{served.port}", **files}
    for key in ("a-key-of-some-length", "another-key-of-some-length"):
        reader = ImageReader(ReaderSettings(api_key=key, **own))
        reading = reader.read(Source(IMAGE), Options(), Call(Deadline.after(10)))
        if key.startswith("another"):
            with pytest.raises(FailedPrecondition, match="does not take the reader's key"):
                await anext(reading)
        else:
            assert [event async for event in reading][1:-1] == ["a ", "boat"]
        await reader.close()
    stop.set()
    await task
