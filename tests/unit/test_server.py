"""The runtime around a servicer, over real gRPC: readiness, errors, limits, drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from searchmesh.runtime.channels import connect
from searchmesh.runtime.errors import NotFound, Overloaded, from_rpc_error
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.server import Service, serve
from searchmesh.runtime.settings import ServiceSettings, shown
from searchmesh.v1 import embedding_pb2, embedding_pb2_grpc
from support.mesh import eventually
from support.ports import free_port

DESCRIPTOR = embedding_pb2.DESCRIPTOR.services_by_name["Embedding"]


class Servicer:
    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def Embed(self, request: embedding_pb2.EmbedRequest, call: Call) -> embedding_pb2.EmbedResponse:
        match request.model:
            case "missing":
                raise NotFound("no model is called missing")
            case "bug":
                raise ValueError("secret path /srv/keys")
            case "slow":
                self.started.set()
                try:
                    await self.release.wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
        return embedding_pb2.EmbedResponse(model=request.model)

    async def EmbedStream(
        self, requests: AsyncIterator[embedding_pb2.EmbedRequest], call: Call
    ) -> AsyncIterator[embedding_pb2.EmbedStreamResponse]:
        sequence = 0
        async for _ in requests:
            yield embedding_pb2.EmbedStreamResponse(sequence=sequence)
            sequence += 1


class Running:
    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.servicer = Servicer()
        self.warmed = asyncio.Event()
        self.stop = asyncio.Event()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{settings.port}")
        self.stub = embedding_pb2_grpc.EmbeddingStub(self.channel)
        service = Service({DESCRIPTOR: self.servicer}, warm=self._warm)
        self.task = asyncio.create_task(serve(settings, service, self.stop))

    async def _warm(self) -> None:
        await self.warmed.wait()

    async def health(self, port: int) -> int:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            return (await check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=5)).status


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    running = Running(ServiceSettings(port=free_port(100), max_in_flight=2, max_message_bytes=4096, drain_wait_s=0))
    yield running
    running.servicer.release.set()
    running.stop.set()
    await running.task
    await running.channel.close()


async def _serving(running: Running) -> None:
    running.warmed.set()
    for _ in range(100):
        if await running.health(running.settings.port) == health_pb2.HealthCheckResponse.SERVING:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not serving")


async def test_health_follows_the_warm_up_on_both_ports(running: Running) -> None:
    for port in (running.settings.port, running.settings.health_port):
        assert await running.health(port) == health_pb2.HealthCheckResponse.NOT_SERVING
    await _serving(running)
    assert await running.health(running.settings.health_port) == health_pb2.HealthCheckResponse.SERVING


async def test_calls_before_the_warm_up_are_unavailable(running: Running) -> None:
    await running.health(running.settings.port)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.stub.Embed(embedding_pb2.EmbedRequest())
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert from_rpc_error(raised.value).reason == "NOT_READY"


async def test_who_watches_health_calls_from_the_warm_up_to_the_drain_and_no_longer() -> None:
    running = Running(ServiceSettings(port=free_port(100), drain_wait_s=3))
    target = f"127.0.0.1:{running.settings.port}"
    async with running.channel, connect(target, retry=False, watch_health=True) as watching:
        stub = embedding_pb2_grpc.EmbeddingStub(watching)
        reasons = set()

        async def answered() -> bool:
            try:
                await stub.Embed(embedding_pb2.EmbedRequest(), timeout=5)
            except grpc.aio.AioRpcError as error:
                reasons.add(from_rpc_error(error).reason)
                return False
            return True

        await running.health(running.settings.port)
        assert not await answered()
        await _serving(running)
        await eventually(answered, "the replica is found")
        running.stop.set()

        async def left() -> bool:
            return not await answered()

        await eventually(left, "the replica is left", timeout_s=2.5)
        # It still answers who does not watch: endpoints take a while to forget it.
        await running.stub.Embed(embedding_pb2.EmbedRequest(), timeout=5)
        assert reasons == {"NOT_READY"}
        await running.task


async def test_domain_errors_reach_the_caller_with_details(running: Running) -> None:
    await _serving(running)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.stub.Embed(embedding_pb2.EmbedRequest(model="missing"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert from_rpc_error(raised.value).reason == "NOT_FOUND"


async def test_the_text_of_an_unexpected_exception_never_leaves_the_service(running: Running) -> None:
    await _serving(running)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.stub.Embed(embedding_pb2.EmbedRequest(model="bug"))
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in f"{raised.value.details()}{raised.value.trailing_metadata()}"
    assert from_rpc_error(raised.value).reason == "UNEXPECTED"


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x05\xff\xfe\xfd\xfc\xfb"], ids=["truncated", "bad utf-8"])
async def test_a_malformed_message_is_the_callers_mistake(running: Running, data: bytes) -> None:
    await _serving(running)
    raw = running.channel.unary_unary("/searchmesh.v1.Embedding/Embed")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await raw(data)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc_error(raised.value).reason == "MALFORMED_MESSAGE"


async def test_an_oversize_message_is_refused(running: Running) -> None:
    await _serving(running)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await running.stub.Embed(embedding_pb2.EmbedRequest(model="x" * 5000))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_calls_than_the_limit_are_shed_with_a_retry_delay(running: Running) -> None:
    await _serving(running)
    calls = [running.stub.Embed(embedding_pb2.EmbedRequest(model="slow")) for _ in range(3)]
    shed, _ = await asyncio.wait(
        [asyncio.ensure_future(_outcome(call)) for call in calls], return_when="FIRST_COMPLETED"
    )
    error = shed.pop().result()
    assert isinstance(error, Overloaded)
    assert error.retry_after_s == 0.5
    running.servicer.release.set()
    outcomes = await asyncio.gather(*[_outcome(call) for call in calls])
    assert [isinstance(outcome, Overloaded) for outcome in outcomes].count(True) == 1


async def _outcome(call: grpc.aio.UnaryUnaryCall) -> object:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)


async def test_the_handler_stops_when_the_caller_goes_away(running: Running) -> None:
    await _serving(running)
    call = running.stub.Embed(embedding_pb2.EmbedRequest(model="slow"))
    await running.servicer.started.wait()
    call.cancel()
    await asyncio.wait_for(running.servicer.cancelled.wait(), 5)


async def test_a_drain_finishes_what_was_accepted(running: Running) -> None:
    await _serving(running)
    call = running.stub.Embed(embedding_pb2.EmbedRequest(model="slow"))
    await running.servicer.started.wait()
    running.stop.set()
    await asyncio.sleep(0.2)
    assert not running.task.done()
    running.servicer.release.set()
    assert (await call).model == "slow"
    await asyncio.wait_for(running.task, 5)


async def test_streams_answer_each_message(running: Running) -> None:
    await _serving(running)
    stream = running.stub.EmbedStream(iter([embedding_pb2.EmbedRequest() for _ in range(3)]))
    assert [response.sequence async for response in stream] == [0, 1, 2]


def test_shown_settings_mask_passwords() -> None:
    class Settings(ServiceSettings):
        url: str = "redis://user:hunter2@cache:6379/0"

    text = shown(Settings())
    assert "hunter2" not in text
    assert "cache:6379" in text
