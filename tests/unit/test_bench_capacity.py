"""The search for the highest rate that is sustained, on systems whose capacity is known."""

from __future__ import annotations

import asyncio

import pytest
import yaml

from searchmesh.client import ClientSettings
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.runtime.server import Service
from searchmesh.runtime.settings import ServiceSettings
from searchmesh.v1 import models_pb2, reranker_pb2
from searchmesh_bench.capacity import Capacity, Knee, Shape, Trial, knee, measure
from searchmesh_bench.load import open_loop
from support.ports import free_port
from support.router_mesh import MODELS, RerankerServicer, serving


class Queue:
    """A server with a fixed service time and an endless queue: its latency is known without waiting for it."""

    def __init__(self, capacity: float, seconds: float = 10.0, refuses: bool = False) -> None:
        self.capacity = capacity
        self.seconds = seconds
        self.refuses = refuses
        self.offered: list[float] = []

    async def offer(self, rate: float) -> Trial:
        self.offered.append(rate)
        excess = max(0.0, rate / self.capacity - 1)
        if self.refuses:
            return Trial(rate, 1000 / self.capacity, round(excess * 100))
        return Trial(rate, 1000 * (1 / self.capacity + 0.95 * self.seconds * excess), 0)


@pytest.mark.parametrize("capacity", [0.3, 7.0, 100.0, 3000.0])
@pytest.mark.parametrize("start", [0.5, 40.0])
async def test_the_knee_is_the_capacity_within_what_the_trial_can_tell(capacity: float, start: float) -> None:
    system = Queue(capacity)
    limit_ms = 2000 / capacity + 100
    found = await knee(system.offer, start=start, limit_ms=limit_ms)
    highest = 1 + (limit_ms / 1000 - 1 / capacity) / (0.95 * system.seconds)
    assert capacity * highest / 1.06 <= found.per_second <= capacity * highest
    assert found.trials[-1].per_second == found.per_second
    assert found.trials[-1].sustained(limit_ms)
    assert [trial.per_second for trial in found.trials] == system.offered


async def test_a_refused_call_is_too_much_however_fast_the_others_are() -> None:
    found = await knee(Queue(100, refuses=True).offer, start=10, limit_ms=500)
    assert 95 <= found.per_second <= 100.5


async def test_a_rate_that_was_luck_is_not_believed() -> None:
    system = Queue(100)

    async def lucky(rate: float) -> Trial:
        """The first trial of 120 a second goes well, as if the queue had not been noticed."""
        if 115 < rate < 125 and len(system.offered) < 6:
            system.offered.append(rate)
            return Trial(rate, 20, 0)
        return await system.offer(rate)

    found = await knee(lucky, start=15, limit_ms=100)
    assert 90 < found.per_second < 102


async def test_a_system_that_never_keeps_up_has_no_capacity() -> None:
    with pytest.raises(FailedPrecondition, match="too many"):
        await knee(Queue(0.001).offer, start=10, limit_ms=500)


async def test_a_system_that_always_keeps_up_has_no_knee() -> None:
    with pytest.raises(FailedPrecondition, match="not too many"):
        await knee(Queue(1e9).offer, start=10, limit_ms=500)


async def test_an_open_loop_finds_the_knee_of_a_real_queue() -> None:
    slot = asyncio.Semaphore(1)

    async def call(_: int) -> None:
        async with slot:
            await asyncio.sleep(0.02)

    async def offer(rate: float) -> Trial:
        outcome = await open_loop(call, per_second=rate, seconds=0.5)
        return Trial(rate, outcome.latency.p90_ms, len(outcome.errors))

    found = await knee(offer, start=10, limit_ms=100, tolerance=0.2)
    # 50 calls a second, less what a busy machine oversleeps, and what 0.5 s cannot tell.
    assert 15 < found.per_second < 70


class Pairs(RerankerServicer):
    """Scores a pair in 5 ms, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._slot = asyncio.Semaphore(1)

    async def Rerank(self, request: reranker_pb2.RerankRequest, call: Call) -> reranker_pb2.RerankResponse:
        async with self._slot:
            await asyncio.sleep(0.005 * len(request.documents))
        return await super().Rerank(request, call)

    async def List(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:
        return models_pb2.ListModelsResponse(models=[models_pb2.Model(name="pairs", kind="reranker")])


async def test_pairs_of_a_reranker_are_counted_one_by_one() -> None:
    port, servicer = free_port(100), Pairs()
    descriptors = {reranker_pb2.DESCRIPTOR.services_by_name["Reranker"]: servicer, MODELS: servicer}
    targets = ClientSettings(reranker_target=f"127.0.0.1:{port}", embedding_target="127.0.0.1:1")
    settings = ServiceSettings(port=port, drain_wait_s=0)
    async with serving(settings, Service(descriptors, warm=lambda: asyncio.sleep(0))):
        found = await measure("pairs", Shape(items=4, words=10), targets, seconds=0.5, limit_ms=200)
        with pytest.raises(InvalidArgument, match="is other; the services count items of pairs"):
            await measure("other", Shape(1, 1), targets, seconds=0.5, limit_ms=200)
    assert {len(request.documents) for request in servicer.requests} == {4}
    assert all(5 <= len(document.text.split()) <= 13 for document in servicer.requests[0].documents)
    # 200 pairs a second, less what a busy machine oversleeps, and what half a second cannot tell.
    assert 50 < found.items_per_second < 300


def test_the_values_are_those_that_the_chart_reads() -> None:
    found = Capacity("jina-embeddings-v3", Shape(8, 100), 10, 500, Knee(112.345, ()))
    assert found.items_per_second == pytest.approx(898.76)
    assert yaml.safe_load(found.values("encoders")) == {
        "triton": {"pools": {"encoders": {"autoscaling": {"itemsPerSecondPerPod": {"jina-embeddings-v3": 899}}}}}
    }


@pytest.mark.parametrize(("rate", "shown"), [(0.12345, 0.123), (45678.0, 45700), (1.0, 1), (99.96, 100)])
def test_three_digits_are_known(rate: float, shown: float) -> None:
    values = yaml.safe_load(Capacity("m", Shape(1, 1), 10, 500, Knee(rate, ())).values("p"))
    assert values["triton"]["pools"]["p"]["autoscaling"]["itemsPerSecondPerPod"]["m"] == shown
