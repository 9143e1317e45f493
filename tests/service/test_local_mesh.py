"""The real programs, supervised: they serve, on the loopback address alone, and nothing is left behind."""

from __future__ import annotations

import glob
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio
import redis
from redis.asyncio import Redis

from searchmesh.local import MeshSettings, Phase, Supervisor, free_port_offset, running
from searchmesh.local.guard import shared_memory_prefix
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh.triton import TritonBackend
from support.mesh import eventually, processes_of, write_identity_model

PROGRAMS = ("redis-cache", "redis-index", "triton")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> MeshSettings:
    home = tmp_path_factory.mktemp("a home with spaces")
    write_identity_model(home / "repository")
    return MeshSettings(home=home, port_offset=free_port_offset(), cache_memory_mb=16, stop_grace_s=10)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(settings: MeshSettings) -> AsyncIterator[Supervisor]:
    async with running(settings, only=PROGRAMS) as supervisor:
        yield supervisor


def _client(port: int) -> Redis:
    return Redis(host="127.0.0.1", port=port, protocol=2)


async def test_every_program_is_ready(mesh: Supervisor) -> None:
    assert [(child.name, child.phase) for child in mesh.states] == [(name, Phase.READY) for name in PROGRAMS]
    assert all(child.pid and psutil.pid_exists(child.pid) for child in mesh.states)


async def test_tritonserver_computes_on_the_packages_of_this_python(mesh: Supervisor, settings: MeshSettings) -> None:
    backend = TritonBackend(f"127.0.0.1:{settings.ports.triton_grpc}")
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    try:
        assert await backend.ready("identity")
        outputs = await backend.infer("identity", {"x": rows}, ["y"], deadline=Deadline.after(10))
    finally:
        await backend.close()
    np.testing.assert_array_equal(outputs["y"], rows)


async def test_the_index_has_the_search_module(mesh: Supervisor, settings: MeshSettings) -> None:
    async with _client(settings.ports.redis_index) as client:
        await client.execute_command(
            *("FT.CREATE", "passages", "PREFIX", "1", "p:", "SCHEMA", "text", "TEXT", "vector", "VECTOR", "HNSW", "6"),
            *("TYPE", "FLOAT32", "DIM", "2", "DISTANCE_METRIC", "COSINE"),
        )
        await client.hset("p:1", mapping={"text": "a quick fox", "vector": np.array([1, 0], np.float32).tobytes()})
        await client.hset("p:2", mapping={"text": "a slow dog", "vector": np.array([0, 1], np.float32).tobytes()})
        lexical = await client.execute_command("FT.SEARCH", "passages", "fox", "NOCONTENT")
        near = np.array([0.1, 1], np.float32).tobytes()
        query = ("FT.SEARCH", "passages", "*=>[KNN 1 @vector $near]", "PARAMS", "2", "near", near, "NOCONTENT")
        dense = await client.execute_command(*query, "DIALECT", "2")
    assert lexical == [1, b"p:1"]
    assert dense == [1, b"p:2"]


async def test_the_cache_forgets_instead_of_refusing(mesh: Supervisor, settings: MeshSettings) -> None:
    async with _client(settings.ports.redis_cache) as client, client.pipeline(transaction=False) as pipeline:
        for number in range(400):
            pipeline.set(f"k{number}", bytes(100_000))  # 40 MB into 16 MiB
        await pipeline.execute()
        assert 0 < await client.dbsize() < 400
    assert list(settings.folder.data("redis-cache").iterdir()) == []


async def test_all_listen_on_the_loopback_address_and_on_their_own_ports(
    mesh: Supervisor, settings: MeshSettings
) -> None:
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for pid in processes_of(settings.folder)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", port) for child in mesh.states for port in child.ports.values()}


async def test_a_second_mesh_on_the_same_home_is_refused(mesh: Supervisor, settings: MeshSettings) -> None:
    other_ports = settings.model_copy(update={"port_offset": free_port_offset()})
    with pytest.raises(FailedPrecondition, match="already running"):
        async with running(other_ports, only=["redis-cache"]):
            pass
    assert mesh.state("redis-cache").phase is Phase.READY


async def test_a_mesh_on_taken_ports_is_refused_and_starts_nothing(
    mesh: Supervisor, settings: MeshSettings, tmp_path: Path
) -> None:
    same_ports = settings.model_copy(update={"home": tmp_path})
    with pytest.raises(FailedPrecondition) as caught:
        async with running(same_ports, only=["redis-cache", "redis-index"]):
            pass
    for port in (settings.ports.redis_cache, settings.ports.redis_index):
        assert f"port {port}, which redis-" in caught.value.message
    assert "is taken by redis-server (pid" in caught.value.message
    assert not processes_of(same_ports.folder)
    assert not same_ports.folder.log("redis-cache").exists()


async def test_two_meshes_share_a_machine(mesh: Supervisor, settings: MeshSettings, tmp_path: Path) -> None:
    write_identity_model(tmp_path / "repository")
    other = MeshSettings(home=tmp_path, port_offset=free_port_offset(), stop_grace_s=3)
    async with running(other, only=["triton"]) as second:
        assert second.state("triton").phase is Phase.READY
        for each in (settings, other):
            assert len(_shared_memory(each)) == 2  # one block for each instance
    assert not _shared_memory(other)
    assert not processes_of(other.folder)
    assert len(_shared_memory(settings)) == 2
    assert mesh.state("triton").phase is Phase.READY


async def test_the_index_is_there_again_after_a_restart(tmp_path: Path) -> None:
    settings = MeshSettings(home=tmp_path, port_offset=free_port_offset())
    async with running(settings, only=["redis-index"]), _client(settings.ports.redis_index) as client:
        await client.execute_command("FT.CREATE", "passages", "SCHEMA", "text", "TEXT")
        await client.hset("1", mapping={"text": "a quick fox"})
    async with running(settings, only=["redis-index"]), _client(settings.ports.redis_index) as client:

        async def found() -> bool:
            result: object = await client.execute_command("FT.SEARCH", "passages", "fox", "NOCONTENT")
            return result == [1, b"1"]

        await eventually(found, "the passage is found again")


async def test_stopping_takes_no_longer_than_the_programs_need(tmp_path: Path) -> None:
    settings = MeshSettings(home=tmp_path, port_offset=free_port_offset())
    async with running(settings, only=["redis-cache", "redis-index"]):
        with redis.Redis(port=settings.ports.redis_cache) as client:
            assert client.ping()
        began = time.monotonic()
    assert time.monotonic() - began < 2
    assert not processes_of(settings.folder)


def _shared_memory(settings: MeshSettings) -> list[str]:
    return glob.glob(f"/dev/shm/{shared_memory_prefix(settings.folder.id)}-*")
