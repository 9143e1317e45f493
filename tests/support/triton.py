"""Looking into a real tritonserver."""

from __future__ import annotations

import asyncio

import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from searchmesh.local import MeshSettings
from support.models import MODEL


async def inferences(settings: MeshSettings) -> int:
    """How many inferences of the default model have succeeded so far."""
    return (await counted(settings, MODEL))[0]


async def counted(settings: MeshSettings, model: str) -> tuple[int, int]:
    """How many inferences of a model have succeeded so far, and in how many executions. Waits until none is under way:
    Triton counts an inference a little after it has answered."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.ports.triton_grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        counts: list[tuple[int, int]] = []
        while len(counts) < 3 or len(set(counts[-3:])) > 1:
            answer = await stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=model))
            statistics = answer.model_stats[0]
            counts.append((int(statistics.inference_stats.success.count), int(statistics.execution_count)))
            await asyncio.sleep(0.1)
    return counts[-1]
