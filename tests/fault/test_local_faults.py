"""The real programs killed under the mesh, and the mesh killed over them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from redis.asyncio import Redis

from searchmesh.local import MeshSettings, Phase, down, free_port_offset, running, up_detached
from searchmesh.local.backoff import Backoff
from searchmesh.runtime.deadlines import Deadline
from searchmesh.triton import TritonBackend
from support.mesh import eventually, processes_of, write_identity_model

STUB = "triton_python_b"  # the kernel keeps 15 characters of a program's name


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[MeshSettings]:
    made = MeshSettings(home=tmp_path, port_offset=free_port_offset(), stop_grace_s=5)
    write_identity_model(made.folder.repository)
    yield made
    down(made.home)


def _pids(settings: MeshSettings, program: str) -> set[int]:
    return {pid for pid, name in processes_of(settings.folder).items() if name.startswith(program)}


def _shared_memory(settings: MeshSettings) -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith(settings.folder.id)}


def _kill_with_its_guard(supervisor: int) -> None:
    (guard,) = [child for child in psutil.Process(supervisor).children() if "guard.py" in str(child.cmdline())]
    guard.kill()
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)


async def test_a_killed_tritonserver_serves_again_and_leaves_no_model_processes(settings: MeshSettings) -> None:
    row = np.ones((1, 2), np.float32)
    backend = TritonBackend(f"127.0.0.1:{settings.ports.triton_grpc}")
    async with running(settings, only=["triton"], backoff=lambda: Backoff(first_s=0.05)) as mesh:
        (server,), stubs = _pids(settings, "tritonserver"), _pids(settings, STUB)
        memory = _shared_memory(settings)
        assert len(stubs) == len(memory) == 2
        os.kill(server, signal.SIGKILL)
        await eventually(lambda: mesh.state("triton").restarts == 1, "the end is noticed")
        await eventually(lambda: mesh.state("triton").phase is Phase.READY, "it is ready again")
        assert not stubs & _pids(settings, STUB)
        assert not memory & _shared_memory(settings)
        assert len(_pids(settings, STUB)) == len(_shared_memory(settings)) == 2
        outputs = await backend.infer("identity", {"x": row}, ["y"], deadline=Deadline.after(10))
        np.testing.assert_array_equal(outputs["y"], row)
    await backend.close()
    assert not _shared_memory(settings)


async def test_a_killed_index_comes_back_with_what_was_written(settings: MeshSettings) -> None:
    async with (
        running(settings, only=["redis-index"]) as mesh,
        Redis(port=settings.ports.redis_index, protocol=2) as client,
    ):
        await client.hset("passage", "text", "a quick fox")
        (server,) = _pids(settings, "redis-server")
        os.kill(server, signal.SIGKILL)
        await eventually(lambda: mesh.state("redis-index").restarts == 1, "the end is noticed")
        await eventually(lambda: mesh.state("redis-index").phase is Phase.READY, "it is ready again")
        assert await client.hget("passage", "text") == b"a quick fox"


async def test_a_killed_supervisor_takes_everything_with_it(settings: MeshSettings) -> None:
    settings = settings.model_copy(update={"only": ("redis-cache", "redis-index", "triton")})
    state = up_detached(settings)
    assert len(processes_of(settings.folder)) == 5  # three programs and two model processes
    os.kill(state.pid, signal.SIGKILL)
    await eventually(lambda: not processes_of(settings.folder), "all are gone", timeout_s=5)
    await eventually(lambda: not _shared_memory(settings), "the shared memory is gone", timeout_s=5)


async def test_what_outlives_even_the_guard_is_ended_by_the_next_up(settings: MeshSettings) -> None:
    settings = settings.model_copy(update={"only": ("redis-cache", "triton")})
    state = up_detached(settings)
    _kill_with_its_guard(state.pid)
    before = processes_of(settings.folder)
    assert len(before) == 4
    again = up_detached(settings)
    assert again.ready
    assert not before.keys() & processes_of(settings.folder).keys()
    assert len(_shared_memory(settings)) == 2


async def test_what_outlives_even_the_guard_is_ended_by_down(settings: MeshSettings) -> None:
    settings = settings.model_copy(update={"only": ("redis-cache", "redis-index")})
    state = up_detached(settings)
    _kill_with_its_guard(state.pid)
    assert len(processes_of(settings.folder)) == 2
    assert down(settings.home) is True
    assert not processes_of(settings.folder)
