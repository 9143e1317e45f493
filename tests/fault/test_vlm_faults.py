"""What a caller of the vision-language service sees while it is drowned, left, stopped, or loses its decoder."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass

import psutil
import pytest

from searchmesh.client import Answer, AskOptions, AsyncClient, Image
from searchmesh.client.asking import AskEvent, gathered
from searchmesh.local import MeshSettings
from searchmesh.local.state import MeshState
from searchmesh.runtime.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    Overloaded,
    SearchmeshError,
    Unavailable,
)
from support.checkpoints_vlm import write_vlm
from support.exports import serving
from support.mesh import eventually
from support.pictures import encoded, picture
from support.ports import free_port
from support.services import start_vlm

MODEL = "jina-vlm"
PICTURE = Image(encoded(picture(300, 200), "PNG"))
SHORT = AskOptions(max_tokens=4)
LONG = AskOptions(max_tokens=1500, temperature=1.0, json_schema={"type": "string", "minLength": 4000})
"""Takes a second or more, and ends for its length."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshSettings]:
    """tritonserver with the model."""
    published = write_vlm(tmp_path_factory.mktemp("published") / MODEL)
    with serving(tmp_path_factory.mktemp("mesh"), {MODEL: published.folder}) as mesh:
        yield mesh


@dataclass(frozen=True)
class Service:
    process: subprocess.Popen[bytes]
    port: int


@pytest.fixture(scope="module")
def service(mesh: MeshSettings) -> Iterator[Service]:
    """One that writes one text at a time, while one more may wait. The last test stops it."""
    port = free_port(100, 200)
    process = start_vlm(mesh, port, SEARCHMESH_GENERATION_SLOTS="1", SEARCHMESH_GENERATION_WAITING="1")
    yield Service(process, port)
    process.kill()
    process.wait()


@pytest.fixture
def port(service: Service) -> int:
    return service.port


@pytest.fixture
async def client(port: int) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(vlm=f"127.0.0.1:{port}") as client:
        # No budget for retries: what is shed shall be seen.
        client._unary._budget._tokens = -1000.0
        await eventually(lambda: _answers(client), "the service answers", timeout_s=60, every_s=0.1)
        yield client


async def _answers(client: AsyncClient) -> bool:
    try:
        await client.ask("a cat", options=SHORT)
    except SearchmeshError:
        return False
    return True


def _texts(port: int) -> tuple[int, int]:
    """How many are written, and how many wait."""
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{port + 200}/metrics", timeout=5).read().decode()
    line = rf'^generation_(in_flight|waiting){{[^}}]*pool="{MODEL}"[^}}]*}} ([0-9.]+)$'
    found = dict(re.findall(line, metrics, re.MULTILINE))
    return int(float(found["in_flight"])), int(float(found["waiting"]))


async def _until(port: int, written: int, waiting: int) -> None:
    async def held() -> bool:
        return await asyncio.to_thread(_texts, port) == (written, waiting)

    await eventually(held, f"{written} written, {waiting} waiting", timeout_s=10)


async def _begun(client: AsyncClient) -> AsyncGenerator[AskEvent, None]:
    """A long text, after its first piece."""
    stream = client.ask_stream("what?", [PICTURE], LONG)
    assert isinstance(await anext(stream), str)
    return stream


async def test_overload_is_shed_with_a_retry_delay_and_admitted_calls_finish(client: AsyncClient, port: int) -> None:
    outcomes = await asyncio.gather(
        *(client.ask("what?", [PICTURE], LONG, timeout_s=60) for _ in range(6)), return_exceptions=True
    )
    shed = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    done = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert len(shed) + len(done) == len(outcomes), outcomes
    assert len(done) >= 2
    assert shed
    assert all(outcome.retry_after_s > 0 for outcome in shed)
    await _until(port, 0, 0)
    assert await _answers(client)


async def test_who_leaves_while_a_text_is_written_makes_room_for_who_waits(client: AsyncClient, port: int) -> None:
    writes = await _begun(client)
    waits = asyncio.create_task(client.ask("a dog", [PICTURE], SHORT))
    await _until(port, 1, 1)
    await writes.aclose()
    assert (await asyncio.wait_for(waits, 10)).finished.output_tokens <= 4
    await _until(port, 0, 0)


async def test_who_waits_and_leaves_or_is_late_waits_no_longer(client: AsyncClient, port: int) -> None:
    writes = await _begun(client)
    with pytest.raises(DeadlineExceeded):
        await client.ask("a dog", [PICTURE], SHORT, timeout_s=0.2)
    await _until(port, 1, 0)
    leaves = asyncio.create_task(client.ask("a dog", [PICTURE], SHORT))
    await _until(port, 1, 1)
    leaves.cancel()
    await _until(port, 1, 0)
    await writes.aclose()
    await _until(port, 0, 0)


async def test_a_model_that_repeats_itself_is_stopped(client: AsyncClient) -> None:
    zeros = {"type": "array", "items": {"const": 0}, "minItems": 1000}
    found = await client.ask("what?", [PICTURE], AskOptions(max_tokens=1500, json_schema=zeros))
    assert found.finished.finish_reason == "loop"
    assert 100 < found.finished.output_tokens < 1000
    assert found.text.startswith("[")


async def test_json_that_is_cut_fails_with_what_is_wrong_and_at_its_bound_it_ends_for_its_length(
    client: AsyncClient,
) -> None:
    schema = {"const": {"seen": "cat"}}
    with pytest.raises(FailedPrecondition, match="what the model wrote is not JSON") as raised:
        await client.ask("what?", [PICTURE], AskOptions(max_tokens=50, json_schema=schema, stop=["cat"]))
    assert raised.value.reason == "SCHEMA_VIOLATION"
    found = await client.ask("what?", [PICTURE], AskOptions(max_tokens=3, json_schema=schema))
    assert found.finished.finish_reason == "length"


async def test_a_schema_that_takes_for_ever_is_refused_and_others_are_served(client: AsyncClient) -> None:
    hostile = {"const": "a" * 40, "pattern": "^(?:(?:a+)+b|a+)$"}
    asked = asyncio.create_task(client.ask("what?", options=AskOptions(max_tokens=60, json_schema=hostile)))
    await asyncio.sleep(1)
    (model,) = await client.models("vlm", timeout_s=1)
    assert model.ready
    assert not asked.done()
    with pytest.raises(InvalidArgument, match=r"json_schema: takes more than 5 s"):
        await asked
    schema = {"enum": ["cat", "dog"]}
    assert (await client.ask("what?", options=AskOptions(max_tokens=20, json_schema=schema))).json() in ("cat", "dog")


async def test_texts_end_clearly_when_tritonserver_dies_and_the_service_recovers(
    client: AsyncClient, mesh: MeshSettings, port: int
) -> None:
    stream = await _begun(client)
    state = MeshState.read(mesh.folder.state_file)
    assert state is not None
    (pid,) = [child.pid for child in state.children if child.name == "triton"]
    assert pid is not None
    psutil.Process(pid).kill()
    with pytest.raises(Unavailable) as raised:
        await asyncio.wait_for(gathered(stream), 10)
    assert raised.value.reason == "BACKEND_UNAVAILABLE"
    with pytest.raises(Unavailable) as again:
        await client.ask("a cat", [PICTURE], SHORT, timeout_s=5)
    assert again.value.reason in ("BACKEND_UNAVAILABLE", "MODEL_NOT_READY")
    await _until(port, 0, 0)
    await eventually(lambda: _answers(client), "the service answers again", timeout_s=60, every_s=0.2)
    assert (await client.ask("a cat", [PICTURE], SHORT)).text


async def test_sigterm_fails_no_text_that_is_written_or_waits(client: AsyncClient, service: Service) -> None:
    texts = [asyncio.create_task(client.ask("what?", [PICTURE], LONG, timeout_s=60)) for _ in range(2)]
    await _until(service.port, 1, 1)
    service.process.send_signal(signal.SIGTERM)
    found = await asyncio.gather(*texts)
    assert [text.finished.finish_reason for text in found] == ["length"] * 2
    assert await asyncio.to_thread(service.process.wait, 30) == 0
