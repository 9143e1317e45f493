"""Replicas that are replaced one after the other while callers go on, as in a rollout."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from urllib.request import urlopen

import grpc.aio
import pytest

from searchmesh.local import MeshSettings
from searchmesh.runtime.channels import connect
from searchmesh.v1.common_pb2 import Content
from searchmesh.v1.embedding_pb2 import EmbedRequest
from searchmesh.v1.embedding_pb2_grpc import EmbeddingStub
from support.mesh import eventually
from support.ports import free_port
from support.services import start_embedding

CALLERS = 8
TIMEOUT_S = 30.0


class Replicas:
    """Two embedding services that are reached as one."""

    def __init__(self, mesh: MeshSettings) -> None:
        self._mesh = mesh
        self.ports = [free_port(100, 200), free_port(100, 200)]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def target(self) -> str:
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def start(self, port: int) -> None:
        self._processes[port] = start_embedding(self._mesh, port, SEARCHMESH_LOG_LEVEL="WARNING")

    async def ready(self, port: int) -> None:
        """Return when it answers."""
        async with connect(f"127.0.0.1:{port}") as channel:
            await eventually(lambda: _answers(channel), f"a service on {port}", timeout_s=60)

    async def roll(self, port: int) -> int:
        """Replace the process on the port; the exit code of the old one."""
        old = self._processes[port]
        old.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(old.wait, 40)
        self.start(port)
        await self.ready(port)
        return code

    def kill(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


class Load:
    """Callers that embed a new text after another."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = EmbeddingStub(channel)
        self._stop = asyncio.Event()
        self.done = 0
        self.failures: list[grpc.aio.AioRpcError] = []
        self.longest_s = 0.0

    async def __aenter__(self) -> Load:
        self._callers = [asyncio.create_task(self._call()) for _ in range(CALLERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._callers), TIMEOUT_S + 5)

    async def _call(self) -> None:
        while not self._stop.is_set():
            start = time.monotonic()
            try:
                await self._stub.Embed(_request(), timeout=TIMEOUT_S)
                self.done += 1
            except grpc.aio.AioRpcError as error:
                self.failures.append(error)
                await asyncio.sleep(0.05)
            self.longest_s = max(self.longest_s, time.monotonic() - start)


def _request() -> EmbedRequest:
    return EmbedRequest(inputs=[Content(text=f"{uuid.uuid4().hex[:8]} new text")])


async def _answers(channel: grpc.aio.Channel) -> bool:
    try:
        await EmbeddingStub(channel).Embed(_request(), timeout=5)
    except grpc.aio.AioRpcError:
        return False
    return True


def _offered(port: int) -> float:
    """Texts that the process on the port was asked to embed."""
    page = urlopen(f"http://127.0.0.1:{port + 200}/metrics", timeout=10).read().decode()
    lines = [line for line in page.splitlines() if line.startswith("inference_pool_items_offered_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@pytest.fixture
def replicas(mesh: MeshSettings) -> Iterator[Replicas]:
    replicas = Replicas(mesh)
    try:
        for port in replicas.ports:
            replicas.start(port)
        yield replicas
    finally:
        replicas.kill()


@pytest.mark.parametrize("retry", [True, False], ids=["with retries", "without retries"])
async def test_no_call_fails_while_all_replicas_are_replaced(replicas: Replicas, retry: bool) -> None:
    for port in replicas.ports:
        await replicas.ready(port)
    async with connect(replicas.target, retry=retry, watch_health=True) as channel, Load(channel) as load:
        for port in replicas.ports:
            before = load.done
            assert await replicas.roll(port) == 0
            assert load.done > before, "nobody answered while a replica was away"
            first = _offered(port)
            await eventually(lambda port=port, first=first: _offered(port) > first + 5, "the new replica is found")
    assert load.failures == []
