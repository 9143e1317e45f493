"""Looking into a real tritonserver."""

from __future__ import annotations

import asyncio

import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from searchmesh.local import MeshSettings
from support.models import MODEL


async def inferences(settings: MeshSettings) -> int:
    """How many inferences of the default model have succeeded so far. Waits until none is under way: Triton counts
    an inference a little after it has answered."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.ports.triton_grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        counts: list[int] = []
        while len(counts) < 3 or len(set(counts[-3:])) > 1:
            answer = await stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=MODEL))
            counts.append(int(answer.model_stats[0].inference_stats.success.count))
            await asyncio.sleep(0.1)
    return counts[-1]
