"""Texts that nobody wants any more: they end, and tritonserver keeps nothing of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import grpc.aio
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from searchmesh.generation import Options
from searchmesh.generation.writing import stream
from searchmesh.local import MeshSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded
from searchmesh.triton import TritonBackend
from support.checkpoints_reader import write_reader
from support.decoders import MODEL, backend_of, tokens, tritonserver

PROMPT = list(range(3, 15))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshSettings]:
    folder = tmp_path_factory.mktemp("given-up")
    write_reader(folder / "checkpoint")
    with tritonserver(folder / "home", folder / "checkpoint") as mesh:
        yield mesh


@pytest.fixture
async def backend(mesh: MeshSettings) -> AsyncIterator[TritonBackend]:
    async with backend_of(mesh) as backend:
        yield backend


async def first(backend: TritonBackend, options: Options, steps: int = 1) -> int:
    """Leave a text after so many steps; how many there were."""
    prompt = {"input_ids": np.array(PROMPT, np.int64)}
    count = 0
    async with aclosing(stream(backend, MODEL, prompt, options, Deadline.after(60))) as answers:
        async for _ in answers:
            count += 1
            if count == steps:
                break
    return count


async def test_a_text_that_is_given_up_is_written_no_further(mesh: MeshSettings) -> None:
    assert "cancelled" in [await _last_words(mesh, str(number)) for number in range(5)]


async def _last_words(mesh: MeshSettings, name: str) -> str:
    """What the model says of the end of a text that is given up after its first token."""
    options = Options(480, regex="[a-z]{900}", draft=False).to_tensor(Deadline())
    request = service_pb2.ModelInferRequest(model_name=MODEL, id=name)
    for tensor in (np.array(PROMPT, np.int64), options):
        request.raw_input_contents.append(tensor.tobytes())
    request.inputs.add(name="input_ids", datatype="INT64", shape=[len(PROMPT)])
    request.inputs.add(name="options", datatype="UINT8", shape=options.shape)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.ports.triton_grpc}") as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer()
        await call.write(request)
        found = []
        async for answer in call:
            if not found:
                await call.write(service_pb2.ModelInferRequest(model_name=MODEL, id=name))
                await call.done_writing()
            found.append(answer.infer_response)
    said = [answer.raw_output_contents[-1] for answer in found if "end" in {each.name for each in answer.outputs}]
    (end,) = map(json.loads, said)
    return str(end.get("error") or end["finish"])


async def test_a_text_that_is_late_ends(backend: TritonBackend) -> None:
    prompt = {"input_ids": np.array(PROMPT, np.int64)}
    endless = Options(480, regex="[a-z]{900}", draft=False)
    with pytest.raises(DeadlineExceeded):
        async for _ in stream(backend, MODEL, prompt, endless, Deadline.after(0.05)):
            pass
    assert len(await tokens(backend, PROMPT, Options(5))) == 5


async def test_leaving_around_the_end_leaves_nothing_behind(backend: TritonBackend, mesh: MeshSettings) -> None:
    wanted = await tokens(backend, PROMPT, Options(12))
    for _ in range(25):
        await asyncio.gather(*(first(backend, Options(12), steps) for steps in range(9, 14)))
    assert await tokens(backend, PROMPT, Options(12)) == wanted
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.ports.triton_grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        await stub.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(model_name=MODEL), timeout=60)

        async def state() -> tuple[str, str]:
            index = await stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=5)
            return next((model.state, model.reason) for model in index.models if model.name == MODEL)

        # A request that the server had kept would keep the model where it is.
        async with asyncio.timeout(30):
            while await state() == ("UNLOADING", ""):
                await asyncio.sleep(0.05)
        assert await state() == ("UNAVAILABLE", "unloaded")
