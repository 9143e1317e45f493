"""Latency figures, and the load generator against a real gRPC server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from searchmesh.runtime.errors import InvalidArgument, Overloaded
from searchmesh_bench.latency import Latency
from searchmesh_bench.load import closed_loop, loopback, open_loop


class Echo(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Answers every method with the request; ``slow`` after a while, ``full`` never."""

    def __init__(self) -> None:
        self.calls = 0
        self.in_flight = 0
        self.most_in_flight = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:  # type: ignore[type-arg]
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def answer(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:  # type: ignore[type-arg]
        self.calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if request == b"full":
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
            await asyncio.sleep(0.05 if request == b"slow" else 0.001)
            return request
        finally:
            self.in_flight -= 1


class Served:
    def __init__(self, echo: Echo, channel: grpc.aio.Channel) -> None:
        self.echo = echo
        self._method = channel.unary_unary("/test.Echo/Echo")

    async def call(self, payload: bytes) -> bytes:
        answer: bytes = await self._method(payload, timeout=5)
        return answer


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    echo = Echo()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((echo,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with loopback(f"127.0.0.1:{port}") as channel:
        yield Served(echo, channel)
    await server.stop(0)


def test_percentiles_are_interpolated_between_calls() -> None:
    latency = Latency.of([number / 1000 for number in range(101)])
    assert (latency.count, latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms) == (
        101,
        pytest.approx(50),
        pytest.approx(90),
        pytest.approx(99),
        pytest.approx(100),
    )
    assert Latency.of([0.001, 0.003]).p50_ms == pytest.approx(2)
    assert Latency.of([0.001, 0.003]).mean_ms == pytest.approx(2)


def test_no_calls_have_no_latency() -> None:
    with pytest.raises(ValueError, match="no call"):
        Latency.of([])


async def test_a_closed_loop_makes_its_calls_with_its_concurrency(served: Served) -> None:
    outcome = await closed_loop(lambda number: served.call(b"%d" % number), concurrency=4, calls=50)
    assert served.echo.calls == len(outcome.latencies_s) == 50
    assert served.echo.most_in_flight == 4
    assert not outcome.errors
    assert outcome.per_second == pytest.approx(50 / outcome.seconds)


async def test_a_closed_loop_ends_in_time(served: Served) -> None:
    start = time.perf_counter()
    outcome = await closed_loop(lambda _: served.call(b"slow"), concurrency=2, seconds=0.2)
    assert time.perf_counter() - start < 1
    assert 2 <= len(outcome.latencies_s) <= 8
    assert min(outcome.latencies_s) >= 0.05


async def test_an_open_loop_keeps_its_rate_whatever_the_answers_take(served: Served) -> None:
    outcome = await open_loop(lambda _: served.call(b"slow"), per_second=100, calls=30)
    assert served.echo.calls == 30
    assert served.echo.most_in_flight >= 3
    assert 0.29 + 0.05 <= outcome.seconds < 2


async def test_an_open_loop_charges_a_stall_to_the_calls_that_were_due_in_it() -> None:
    async def stalls(number: int) -> None:
        if number == 0:
            time.sleep(0.3)  # noqa: ASYNC251  # the loop itself stands still, as in a stalled client

    outcome = await open_loop(stalls, per_second=100, calls=20)
    waited = sorted(outcome.latencies_s)
    assert waited[-1] >= 0.3
    assert waited[10] >= 0.15


async def test_an_open_loop_starts_nothing_after_its_time() -> None:
    started = 0

    async def stalls(number: int) -> None:
        nonlocal started
        started += 1
        time.sleep(0.05)  # noqa: ASYNC251

    await open_loop(stalls, per_second=1000, seconds=0.2)
    assert started <= 6


async def test_an_open_loop_can_be_stopped(served: Served) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    outcome = await open_loop(lambda _: served.call(b"quick"), per_second=50, seconds=60, stop=stop)
    assert 5 <= len(outcome.latencies_s) <= 11


async def test_failed_calls_are_kept_and_have_no_latency(served: Served) -> None:
    async def request(number: int) -> None:
        if number % 3 == 0:
            raise Overloaded("full")
        await served.call(b"full" if number % 3 == 1 else b"ok")

    outcome = await closed_loop(request, concurrency=2, calls=9)
    assert [type(error) for error in outcome.errors] == [Overloaded] * 6
    assert len(outcome.latencies_s) == 3
    with pytest.raises(Overloaded):
        outcome.checked()


@pytest.mark.parametrize("target", ["10.0.0.1:7101", "example.com:80", "dns:///router:7100", "[2001:db8::1]:7100", ""])
def test_load_on_other_machines_is_refused(target: str) -> None:
    with pytest.raises(InvalidArgument, match="loopback"):
        loopback(target)


@pytest.mark.parametrize("target", ["127.0.0.1:7101", "localhost:7101", "[::1]:7101"])
async def test_this_machine_is_accepted(target: str) -> None:
    await loopback(target).close()


async def test_loads_without_bounds_are_refused() -> None:
    async def request(number: int) -> None:
        raise AssertionError("never called")

    for concurrency, calls, seconds in ((0, 1, 1), (5000, 1, 1), (1, 10**9, 1), (1, 1, 10**6)):
        with pytest.raises(InvalidArgument):
            await closed_loop(request, concurrency=concurrency, calls=calls, seconds=seconds)
    with pytest.raises(InvalidArgument):
        await open_loop(request, per_second=0)
